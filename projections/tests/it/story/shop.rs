//! A shop: what most tests begin with.

use domain::deployment::step::Step;
use domain::id::{EnvironmentId, ProjectId, ServiceId};

use super::Story;

/// Acme's owner, a project with two services, deployments of all kinds: what most tests begin with.
pub(crate) struct Shop {
    pub(crate) story: Story,
    pub(crate) project: ProjectId,
    pub(crate) production: EnvironmentId,
    pub(crate) staging: EnvironmentId,
    pub(crate) web: ServiceId,
    pub(crate) worker: ServiceId,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let mut story = Story::begin().await;
        let (project, production, staging) = story.project("shop").await;
        let web = story.service(project, production, "web").await;
        let worker = story.service(project, staging, "worker").await;
        Self { story, project, production, staging, web, worker }
    }

    /// v1 and v2 by deployment, v3 by a variable, v4 by rollback to v1, and a build that fails.
    pub(crate) async fn busy() -> Self {
        let mut shop = Self::open().await;
        let (story, web) = (&mut shop.story, shop.web);
        story.deploy(web, 1).await;
        story.deploy(web, 2).await;
        story.set(web, "GREETING", "hello").await;
        story.roll_back(web, 1).await;
        let failing = story.request(web).await;
        story.begin_deployment(web, failing).await;
        for step in [Step::Fetch, Step::Detect] {
            story.step(web, failing, step, 3).await;
        }
        story.fail(web, failing, Step::Build, "npm ended with status 1").await;
        shop
    }
}
