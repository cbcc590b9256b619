//! `Withheld` and `Answer`: an upstream's answer cannot leave before its record is durable (promise P3).
//!
//! The upstream is asked through [`Withheld::ask`] only, and what it answers has two exits: [`Withheld::release`] takes
//! the [`Receipt`] of this very request, [`Withheld::release_unaudited`] takes proof that the request was one of the
//! few that are not recorded. The handler sends nothing but an [`Answer`].
//!
//! A receipt cannot be made up, and an answer cannot be made of an upstream's response directly:
//! ```compile_fail
//! let receipt = vouchsafe_broker::audit::Receipt { request: String::new(), sequence: 1 };
//! ```
//! ```compile_fail
//! fn forge(response: vouchsafe_net::http::Response) -> vouchsafe_broker::answer::Answer {
//!     vouchsafe_broker::answer::Answer(response)
//! }
//! ```
//! ```compile_fail
//! fn peek(withheld: vouchsafe_broker::answer::Withheld) -> vouchsafe_net::http::Response {
//!     withheld.response
//! }
//! ```
//! ```compile_fail
//! fn twice(receipt: vouchsafe_broker::audit::Receipt) -> (vouchsafe_broker::audit::Receipt, vouchsafe_broker::audit::Receipt) {
//!     (receipt.clone(), receipt)
//! }
//! ```
//! The same with a receipt in hand compiles:
//! ```
//! fn honest(w: vouchsafe_broker::answer::Withheld, r: vouchsafe_broker::audit::Receipt) -> vouchsafe_broker::answer::Answer {
//!     w.release(r)
//! }
//! ```

use vouchsafe_net::http::Response;

use crate::audit::Receipt;
use crate::facts::Facts;
use crate::refusal::Refusal;
use crate::request::answer_headers;
use crate::route::{Class, classify};
use crate::upstream::{Upstream, UpstreamError, UpstreamRequest};

/// An upstream's answer that must not leave yet.
#[derive(Debug)]
pub struct Withheld {
    /// The broker's id of the request that it answers.
    request: String,
    is_unaudited: bool,
    response: Response,
    facts: Facts,
}

/// What may be sent to a client.
#[derive(Debug)]
pub struct Answer(Response);

impl Withheld {
    /// Asks the upstream; `id` is the broker's id of this request.
    pub async fn ask<U: Upstream>(upstream: &U, id: &str, request: UpstreamRequest) -> Result<Self, UpstreamError> {
        let is_unaudited = classify(request.operation, &request.path) == Class::Unaudited;
        let response = upstream.call(request).await?;
        let facts = Facts::of(&response);
        Ok(Self { request: id.to_owned(), is_unaudited, response, facts })
    }

    /// What the answer says about itself, without values.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Id of the request that this answers.
    pub fn request(&self) -> &str {
        &self.request
    }

    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.response.status
    }

    /// Lets the answer go, against the receipt of its record.
    pub fn release(self, receipt: Receipt) -> Answer {
        if receipt.request() != self.request {
            return Answer::refusal(&Refusal::new(500, "the audit receipt belongs to another request; this is a bug"));
        }
        drop(receipt);
        self.into_answer()
    }

    /// Lets the answer to a health or seal question go.
    pub fn release_unaudited(self) -> Answer {
        if !self.is_unaudited {
            return Answer::refusal(&Refusal::new(500, "an audited answer has no receipt; this is a bug"));
        }
        self.into_answer()
    }

    fn into_answer(self) -> Answer {
        let headers = answer_headers(&self.response.headers);
        Answer(Response { status: self.response.status, headers, body: self.response.body })
    }
}

impl Answer {
    /// The broker's own refusal.
    pub fn refusal(refusal: &Refusal) -> Self {
        Self(refusal.response())
    }

    /// The broker's own words to a request of the extension, health or metrics: they hold no secret by construction.
    pub(crate) fn own(response: Response) -> Self {
        Self(response)
    }

    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// The response to send.
    pub fn into_response(self) -> Response {
        self.0
    }
}
