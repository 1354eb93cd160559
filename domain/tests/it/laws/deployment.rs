//! A deployment goes step by step, has one end, and leaves nothing behind when it does not come to a good
//! one.

use domain::deployment::step::{Failure, Fence, Step, UNDO_ATTEMPTS};
use domain::deployment::{CancelReason, Command, Deployment, Event, Work};
use domain::id::{DeploymentId, ServiceId};
use domain::saga::deployment::react;
use domain::service::Subject;
use domain::testing::history::{LIMIT_MS, back_to, output};
use domain::testing::values::{SERVICE, from_source};
use proptest::prelude::*;

use super::{Again, Lawful, law};

#[derive(Clone, Debug)]
pub(super) enum Wish {
    Begin(u8),
    /// Of the work that is to be done, or of any.
    Start(Option<Work>),
    /// By who has it in hand, or by another.
    Complete(Option<Step>, Option<u32>),
    Fail {
        work: Option<Work>,
        fence: Option<u32>,
        permanent: bool,
    },
    Cancel(bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop::sample::select(Step::ALL.to_vec())
}

fn any_work() -> impl Strategy<Value = Work> {
    prop_oneof![any_step().prop_map(Work::Do), any_step().prop_map(Work::Undo)]
}

/// Mostly what fits.
fn rarely<S: Strategy + 'static>(other: S) -> impl Strategy<Value = Option<S::Value>>
where
    S::Value: Clone + std::fmt::Debug,
{
    prop::option::weighted(0.08, other)
}

impl Lawful for Deployment {
    type Wish = Wish;

    fn wish() -> BoxedStrategy<Wish> {
        let fail = (rarely(any_work()), rarely(0..9_u32), prop::bool::weighted(0.2));
        prop_oneof![
            3 => (0..8_u8).prop_map(Wish::Begin),
            40 => rarely(any_work()).prop_map(Wish::Start),
            40 => (rarely(any_step()), rarely(0..9_u32)).prop_map(|(a, b)| Wish::Complete(a, b)),
            10 => fail.prop_map(|(work, fence, permanent)| Wish::Fail { work, fence, permanent }),
            1 => any::<bool>().prop_map(Wish::Cancel),
        ]
        .boxed()
    }

    fn command(&self, _history: &[Event], wish: &Wish) -> Command {
        let now = self.task().map_or(Work::Do(Step::Fetch), |task| task.work);
        let held = self.facts().map(|facts| facts.fence).unwrap_or_default();
        let fence = |given: &Option<u32>| given.map_or(held, Fence);
        match wish {
            Wish::Begin(kind) => {
                let subject = match kind {
                    0 => Subject::Configuration {},
                    1 => back_to(1),
                    _ => from_source(),
                };
                let service = if *kind == 7 { ServiceId::default() } else { SERVICE };
                Command::Begin { service, subject }
            }
            Wish::Start(work) => Command::Start { work: work.unwrap_or(now), limit_ms: LIMIT_MS },
            Wish::Complete(step, given) => match (now, step) {
                (Work::Undo(step), None) => Command::CompleteUndo { step, fence: fence(given) },
                (Work::Undo(_), Some(step)) => Command::CompleteUndo { step: *step, fence: fence(given) },
                (Work::Do(step), None) => Command::Complete { fence: fence(given), output: output(step, 1) },
                (Work::Do(_), Some(step)) => {
                    Command::Complete { fence: fence(given), output: output(*step, 1) }
                }
            },
            Wish::Fail { work, fence: given, permanent } => {
                let failure = Failure { code: "x".into(), message: "y".into(), permanent: *permanent };
                Command::Fail { work: work.unwrap_or(now), fence: fence(given), failure }
            }
            Wish::Cancel(deleted) => Command::Cancel {
                reason: if *deleted { CancelReason::ServiceDeleted } else { CancelReason::Requested },
            },
        }
    }

    fn again(command: &Command) -> Again {
        match command {
            Command::Begin { .. } | Command::Cancel { .. } => Again::ChangesNothing,
            Command::Start { .. } => Again::IsNews, // The second worker takes over from the first.
            Command::Complete { .. } | Command::CompleteUndo { .. } | Command::Fail { .. } => {
                Again::IsRefused
            }
        }
    }

    fn holds(&self, history: &[Event]) -> Result<(), String> {
        let mut told = Told::default();
        for event in history {
            law(!told.over, "a deployment that is over never changes again")?;
            told.event(event)?;
        }
        let over = matches!(self, Deployment::Over { .. });
        law(over == told.over, "a deployment is over when its history says so, and not before")?;
        let asks = react(DeploymentId::default(), self);
        law(history.is_empty() == asks.is_empty(), "whatever has begun asks for something")?;
        law(matches!(self, Deployment::Live { .. }) <= told.live, "it is live when it went live")
    }
}

/// What a history tells, read without the aggregate's help.
#[derive(Default)]
struct Told {
    begun: bool,
    fence: Fence,
    /// What was taken up last, with its try, until that is over.
    in_hand: Option<(Work, u32)>,
    /// The try that a failed piece of work is at.
    next_try: Option<(Work, u32)>,
    done: Vec<Step>,
    leftover: Vec<Step>,
    cancelled: bool,
    given_up: bool,
    moving: bool,
    live: bool,
    over: bool,
}

impl Told {
    fn event(&mut self, event: &Event) -> Result<(), String> {
        let first = matches!(event, Event::Begun { .. });
        law(self.begun != first, "a deployment begins once, and before anything else")?;
        match event {
            Event::Begun { .. } => self.begun = true,
            Event::StepStarted { step, attempt, fence, .. } => {
                law(!self.given_up, "no step begins once it is given up")?;
                law(*attempt <= step.attempts(), "a step has so many tries")?;
                law(
                    self.done.last().is_none_or(|last| last.next() == Some(*step)),
                    "steps follow one another",
                )?;
                self.moving |= *step == Step::Activate;
                if step.leaves_something() && !self.leftover.contains(step) {
                    self.leftover.push(*step);
                }
                self.start(Work::Do(*step), *attempt, *fence)?;
            }
            Event::UndoStarted { step, attempt, fence, .. } => {
                law(self.given_up && !self.live, "only what is given up is taken away")?;
                law(*attempt <= UNDO_ATTEMPTS, "an undo has so many tries")?;
                law(self.leftover.last() == Some(step), "what was left last is taken away first")?;
                self.start(Work::Undo(*step), *attempt, *fence)?;
            }
            Event::StepSucceeded { fence, output } => {
                self.end(Work::Do(output.step()), *fence)?;
                self.done.push(output.step());
                self.given_up |= self.cancelled;
                self.over |= self.live;
            }
            Event::StepFailed { step, fence, retry_at, .. } => {
                let attempt = self.end(Work::Do(*step), *fence)?;
                self.next_try = retry_at.map(|_| (Work::Do(*step), attempt + 1));
                law(retry_at.is_none() || !self.cancelled, "what is cancelled is not tried again")?;
                self.given_up |= retry_at.is_none() && !self.live;
                self.over |= retry_at.is_none() && self.live;
            }
            Event::UndoSucceeded { step, fence } => {
                self.end(Work::Undo(*step), *fence)?;
                self.leftover.pop();
            }
            Event::UndoFailed { step, fence, retry_at, .. } => {
                let attempt = self.end(Work::Undo(*step), *fence)?;
                self.next_try = retry_at.map(|_| (Work::Undo(*step), attempt + 1));
                if retry_at.is_none() {
                    self.leftover.pop(); // Parked: an operator sees it.
                }
            }
            Event::CancelRequested { .. } => {
                law(!self.moving && !self.live, "it is not cancelled once its traffic may have moved")?;
                law(!self.cancelled, "it is cancelled once")?;
                self.cancelled = true;
                self.given_up |= self.in_hand.is_none();
            }
            Event::WentLive { .. } => {
                law(!self.live && !self.cancelled, "it goes live once, and never when it was cancelled")?;
                law(self.done.last() == Some(&Step::Activate), "it goes live when its traffic has moved")?;
                self.live = true;
            }
            Event::Failed { .. } | Event::Cancelled { .. } => {
                let cancelled = matches!(event, Event::Cancelled { .. });
                law(!self.live, "what went live does not fail")?;
                law(cancelled == self.cancelled, "it ends the way it was given up")?;
                law(self.given_up && self.in_hand.is_none(), "it ends when nobody has it in hand")?;
                law(self.leftover.is_empty(), "it ends when nothing of it is left, or that is parked")?;
                self.over = true;
            }
        }
        Ok(())
    }

    fn start(&mut self, work: Work, attempt: u32, fence: Fence) -> Result<(), String> {
        law(fence > self.fence, "fences rise")?;
        let expected = self.in_hand.or(self.next_try).filter(|(w, _)| *w == work).map_or(1, |(_, n)| n);
        law(attempt == expected, "tries are counted, and taking over is none")?;
        (self.fence, self.in_hand, self.next_try) = (fence, Some((work, attempt)), None);
        Ok(())
    }

    fn end(&mut self, work: Work, fence: Fence) -> Result<u32, String> {
        law(fence == self.fence, "only the newest worker says what came of it")?;
        let (held, attempt) = self.in_hand.take().ok_or("something ended that nobody had in hand")?;
        law(held == work, "what ends is what was taken up")?;
        Ok(attempt)
    }
}
