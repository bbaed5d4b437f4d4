//! Arguments: asynchronous functions own them, others borrow them.

/// Arguments of functions that are not asynchronous.
pub(super) mod borrowed {
    pub(in super::super) fn text(text: &str) -> &str {
        text
    }

    pub(in super::super) fn bytes(text: &str) -> &[u8] {
        text.as_bytes()
    }

    /// A test can afford the leak.
    pub(in super::super) fn list<const N: usize>(texts: [&str; N]) -> &'static [String] {
        Vec::leak(super::owned::list(texts))
    }
}

/// Arguments of asynchronous functions.
pub(super) mod owned {
    pub(in super::super) fn text(text: &str) -> String {
        text.to_owned()
    }

    pub(in super::super) fn bytes(text: &str) -> Vec<u8> {
        text.as_bytes().to_owned()
    }

    pub(in super::super) fn list<const N: usize>(texts: [&str; N]) -> Vec<String> {
        texts.map(str::to_owned).to_vec()
    }
}
