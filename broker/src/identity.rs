//! `Unverified<Jwt>` and `Verified<Claims>`: who a token says its bearer is, and from when on that may be believed.
//!
//! The broker never judges a signature. It believes the claims of exactly that JWT which the upstream accepted, in answer
//! to exactly that request, and only where the upstream's own words (service account and namespace) say the same.
//!
//! Before that there is nothing to read:
//! ```compile_fail
//! fn namespace(jwt: vouchsafe_broker::identity::Unverified<vouchsafe_broker::identity::Jwt>) -> String {
//!     jwt.claims.workload.namespace.to_string()
//! }
//! ```
//! ```compile_fail
//! fn forge(claims: vouchsafe_broker::identity::Claims) -> vouchsafe_broker::identity::Verified<vouchsafe_broker::identity::Claims> {
//!     vouchsafe_broker::identity::Verified(claims)
//! }
//! ```

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use vouchsafe_model::name::{Namespace, PodName, PodUid, ServiceAccount};
use vouchsafe_model::{Secret, Workload};

use crate::answer::Withheld;

/// Something that nobody vouched for yet. It has no accessors.
pub struct Unverified<T> {
    request: String,
    content: T,
}

/// A JSON Web Token as sent by a client.
pub struct Jwt {
    claims: Claims,
}

/// Something that the upstream vouched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

/// What a ServiceAccount token says about its bearer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    workload: Workload,
}

impl Unverified<Jwt> {
    /// The JWT in the body of the login request `request`; `None` where there is none of Kubernetes' form.
    pub fn of_login(request: &str, body: &Secret) -> Option<Self> {
        #[derive(Deserialize)]
        struct Login {
            jwt: String,
        }
        // EXPOSE: the claims are what we look for; the token itself is dropped again.
        let Login { jwt } = serde_json::from_slice(body.expose()).ok()?;
        let claims = decode(&Secret::from(jwt))?;
        Some(Self { request: request.to_owned(), content: Jwt { claims } })
    }

    /// The claims, if `answer` accepts exactly this JWT and names the same service account.
    pub fn confirmed(self, answer: &Withheld) -> Option<Verified<Claims>> {
        let auth = answer.facts().auth.as_ref()?;
        let workload = &self.content.claims.workload;
        let says = |key: &str, value: &str| auth.metadata.get(key).is_some_and(|said| said == value);
        let is_same = answer.request() == self.request
            && answer.status() == 200
            && says("service_account_namespace", workload.namespace.as_str())
            && says("service_account_name", workload.service_account.as_str());
        is_same.then_some(Verified(self.content.claims))
    }
}

impl Verified<Claims> {
    /// Who it is.
    pub fn workload(&self) -> &Workload {
        &self.0.workload
    }
}

/// Reads the claims of a projected token (`kubernetes.io`) without judging it.
fn decode(jwt: &Secret) -> Option<Claims> {
    #[derive(Deserialize)]
    struct Payload {
        #[serde(rename = "kubernetes.io")]
        kubernetes: Kubernetes,
    }
    #[derive(Deserialize)]
    struct Kubernetes {
        namespace: Namespace,
        serviceaccount: Account,
        #[serde(default)]
        pod: Option<Pod>,
    }
    #[derive(Deserialize)]
    struct Account {
        name: ServiceAccount,
    }
    #[derive(Deserialize)]
    struct Pod {
        name: PodName,
        uid: PodUid,
    }
    let mut parts = jwt.expose_str()?.split('.'); // EXPOSE: header and signature are skipped.
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let Payload { kubernetes } = serde_json::from_slice(&payload).ok()?;
    let (pod, pod_uid) = kubernetes.pod.map(|pod| (pod.name, pod.uid)).unzip();
    let workload =
        Workload { namespace: kubernetes.namespace, service_account: kubernetes.serviceaccount.name, pod, pod_uid };
    Some(Claims { workload })
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use serde_json::json;
    use vouchsafe_net::http::Response;

    use super::*;
    use crate::testing::{Script, jwt_body, login_answer, upstream_request};
    use crate::upstream::Operation;

    async fn answer(id: &str, response: Response) -> Withheld {
        let upstream = Script::answering(response);
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Withheld::ask(&upstream, id, upstream_request(Operation::Write, "auth/kubernetes/login", client)).await.unwrap()
    }

    fn unverified(id: &str) -> Unverified<Jwt> {
        Unverified::of_login(id, &jwt_body("argocd", "dex", "dex-1", "uid-1")).unwrap()
    }

    #[tokio::test]
    async fn claims_are_believed_when_the_upstream_accepted_exactly_that_token() {
        let accepted = answer("r1", login_answer("argocd", "dex")).await;
        let verified = unverified("r1").confirmed(&accepted).unwrap();
        assert_eq!(verified.workload().to_string(), "argocd/dex-1");
        assert_eq!(verified.workload().pod_uid.as_ref().unwrap().as_str(), "uid-1");
    }

    #[tokio::test]
    async fn claims_are_not_believed_on_any_other_answer() {
        for response in [
            login_answer("argocd", "other"),
            login_answer("other", "dex"),
            Response::json(200, &json!({"auth": {"client_token": "t", "metadata": {}}})),
            Response::json(200, &json!({"data": {}})),
            Response::json(403, &json!({"errors": ["permission denied"]})),
        ] {
            let refused = answer("r1", response).await;
            assert!(unverified("r1").confirmed(&refused).is_none());
        }
        let of_another_request = answer("r2", login_answer("argocd", "dex")).await;
        assert!(unverified("r1").confirmed(&of_another_request).is_none());
    }

    #[test]
    fn what_is_no_projected_token_has_no_claims() {
        for body in [
            "",
            "{}",
            r#"{"jwt":""}"#,
            r#"{"jwt":"a.b.c"}"#,
            r#"{"jwt":"a.e30.c"}"#,
            r#"{"jwt":5}"#,
            r#"{"password":"x"}"#,
        ] {
            assert!(Unverified::of_login("r", &Secret::from(body.to_owned())).is_none(), "{body}");
        }
        assert!(Unverified::of_login("r", &jwt_body("Argo", "dex", "p", "u")).is_none());
    }
}
