//! Two peers that start, stop, splice, remove, read and write as the input says, held against the model of the tests.

/// Whatever the two do, each reads what the other wrote, at its depth, once and in sequence.
pub fn scripts(input: &[u8]) {
    crate::script::play(input);
}
