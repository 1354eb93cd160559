//! One key, one owner.

use domain::claim::{Claim, Command, Event, Key, Owner};
use domain::id::OrganizationId;
use domain::stream::AggregateKind;
use proptest::prelude::*;
use uuid::Uuid;

use super::{Again, Lawful, law};

#[derive(Clone, Debug)]
pub(super) enum Wish {
    Take(u128),
    TakeOver(u128, u128),
    Release(u128),
}

fn owner(n: u128) -> Owner {
    Owner { organization: OrganizationId::PLATFORM, kind: AggregateKind::Service, id: Uuid::from_u128(n) }
}

fn key() -> Key {
    Key::Hostname { hostname: "web.shop.localhost".into() }
}

impl Lawful for Claim {
    type Wish = Wish;

    fn wish() -> BoxedStrategy<Wish> {
        let owner = || 0..3_u128;
        prop_oneof![
            owner().prop_map(Wish::Take),
            (owner(), owner()).prop_map(|(from, to)| Wish::TakeOver(from, to)),
            owner().prop_map(Wish::Release),
        ]
        .boxed()
    }

    fn command(&self, _history: &[Event], wish: &Wish) -> Command {
        match *wish {
            Wish::Take(n) => Command::Take { key: key(), owner: owner(n) },
            Wish::TakeOver(from, to) => Command::TakeOver { key: key(), from: owner(from), owner: owner(to) },
            Wish::Release(n) => Command::Release { owner: owner(n) },
        }
    }

    fn again(_command: &Command) -> Again {
        Again::ChangesNothing
    }

    /// A key has one owner at a time: whoever took it last, until it was given back; and nothing is said
    /// twice.
    fn holds(&self, history: &[Event]) -> Result<(), String> {
        let mut holder = None;
        for event in history {
            match event {
                Event::Taken { owner, .. } => {
                    law(holder != Some(*owner), "a key is not taken by who has it")?;
                    holder = Some(*owner);
                }
                Event::Released {} => {
                    law(holder.is_some(), "only a key that somebody has is given back")?;
                    holder = None;
                }
            }
        }
        let now = match self {
            Claim::Free => None,
            Claim::Held { owner, .. } => Some(*owner),
        };
        law(now == holder, "the owner is who took the key last")
    }
}

proptest! {
    /// What `holds` cannot see: somebody else never gets a key that is held, unless the holder is named.
    #[test]
    fn a_held_key_changes_hands_only_when_its_holder_is_named(
        holder in 0..3_u128, from in 0..3_u128, to in 0..3_u128,
    ) {
        use domain::aggregate::Aggregate as _;
        let context = domain::testing::context();
        let taken = Event::Taken { key: key(), owner: owner(holder), at: context.now };
        let held = Claim::default().evolve(&taken);
        let taken = held.decide(Command::Take { key: key(), owner: owner(to) }, &context);
        prop_assert_eq!(taken.is_ok(), to == holder);
        let command = Command::TakeOver { key: key(), from: owner(from), owner: owner(to) };
        prop_assert_eq!(held.decide(command, &context).is_ok(), to == holder || from == holder);
    }
}
