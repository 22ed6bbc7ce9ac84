//! The pages that end a consent, well or not.

use askama::Template;

use super::assets;

/// What the person is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// The request was approved and there is nowhere to return to.
    Approved,
    /// The request was denied and there is nowhere to return to.
    Denied,
    /// No such request, or the link names none.
    NotFound,
    /// The request was not decided in time.
    Expired,
    /// The request was decided before.
    AlreadyUsed,
    /// The decision did not come from our own page.
    ForeignPage,
    /// The service is busy, or this visitor was too quick.
    TryAgain,
    /// A fault of ours.
    SomethingWentWrong,
}

/// A page with a single message.
#[derive(Debug, Template)]
#[template(path = "message.html")]
pub struct MessageView<'a> {
    /// Where the routes are mounted: empty, or a path without its last slash.
    pub base_path: &'a str,
    /// What to say.
    pub message: Message,
    /// The request id to mention when asking for help.
    pub reference: Option<&'a str>,
}

impl MessageView<'_> {
    /// The whole page.
    ///
    /// # Errors
    /// Only when the template itself fails, which no content of the view can cause.
    pub fn page(&self) -> Result<String, askama::Error> {
        self.render()
    }

    const fn element_id(&self) -> &'static str {
        match self.message {
            Message::Approved | Message::Denied => "done",
            Message::NotFound
            | Message::Expired
            | Message::AlreadyUsed
            | Message::ForeignPage
            | Message::TryAgain
            | Message::SomethingWentWrong => "problem",
        }
    }

    const fn tone(&self) -> &'static str {
        match self.message {
            Message::Approved | Message::Denied => "good",
            Message::NotFound | Message::Expired | Message::AlreadyUsed | Message::TryAgain => "neutral",
            Message::ForeignPage | Message::SomethingWentWrong => "bad",
        }
    }

    const fn heading(&self) -> &'static str {
        match self.message {
            Message::Approved => "You approved the request",
            Message::Denied => "You denied the request",
            Message::NotFound => "We could not find this request",
            Message::Expired => "This request has expired",
            Message::AlreadyUsed => "This request was already answered",
            Message::ForeignPage => "We did not accept this answer",
            Message::TryAgain => "Please try again in a moment",
            Message::SomethingWentWrong => "Something went wrong",
        }
    }

    const fn paragraphs(&self) -> &'static [&'static str] {
        match self.message {
            Message::Approved => &[
                "The agent may now do what you approved, for as long as the request said.",
                "You can close this page and go back to the app.",
            ],
            Message::Denied => &[
                "The agent got no access. Nothing was shared.",
                "You can close this page and go back to the app.",
            ],
            Message::NotFound => &[
                "The link may be incomplete, or the request may have been removed.",
                "Go back to the app that sent you here and start again. Nothing was approved.",
            ],
            Message::Expired => &[
                "Requests can be answered for a short time only, for your safety.",
                "Go back to the app that sent you here and start again. Nothing was approved.",
            ],
            Message::AlreadyUsed => &[
                "Each request can be answered once. Your first answer counts and was not changed.",
                "If you have just answered it, go back to the app. If it was not you, tell the app's provider.",
            ],
            Message::ForeignPage => &[
                "Your answer did not come from our own page, so it was not counted. Another site may have tried to answer for you.",
                "Open the link from the app again and decide on the page that it shows.",
            ],
            Message::TryAgain => &[
                "The service is busy. Your answer was not counted.",
                "Wait a moment, then open the link from the app again.",
            ],
            Message::SomethingWentWrong => &[
                "This is a fault on our side.",
                "Open the link from the app again; it shows whether your answer was counted.",
            ],
        }
    }
}
