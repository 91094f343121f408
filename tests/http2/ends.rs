//! How tunnels and their carrier end.
