//! Hashes that are remembered, read again and refused.
