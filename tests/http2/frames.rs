//! Frames that no library sends.
