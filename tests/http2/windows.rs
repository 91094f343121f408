//! Who does not read holds up nobody else.
