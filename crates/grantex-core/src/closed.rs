//! Enums whose values are told by one text each: on the wire, in the store, in the log and as labels of metrics.

/// A type with a known, closed set of values. Made by [`closed!`](crate::closed!).
pub trait Closed: Copy + PartialEq + Send + Sync + 'static {
    /// Every value.
    const ALL: &'static [Self];
    /// The value's text.
    fn text(self) -> &'static str;
    /// Every text.
    fn texts() -> Vec<&'static str> {
        Self::ALL.iter().map(|value| value.text()).collect()
    }
}

/// Defines an enum together with the text of each value: `ALL`, `as_str`, `parse`, and [`Closed`](crate::closed::Closed).
///
/// ```
/// grantex_core::closed! {
///     /// How it went.
///     pub enum Outcome {
///         /// Well.
///         Good = "good",
///         /// Not so well.
///         Bad = "bad",
///     }
/// }
///
/// assert_eq!(Outcome::Bad.as_str(), "bad");
/// assert_eq!(Outcome::parse("good"), Some(Outcome::Good));
/// assert_eq!(Outcome::parse("GOOD"), None);
/// assert_eq!(Outcome::ALL, [Outcome::Good, Outcome::Bad]);
/// ```
#[macro_export]
macro_rules! closed {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl $name {
            /// Every value, in the order of their definition.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The value's text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The value with exactly this text.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }

        impl $crate::closed::Closed for $name {
            const ALL: &'static [Self] = Self::ALL;

            fn text(self) -> &'static str {
                self.as_str()
            }
        }
    };
}
