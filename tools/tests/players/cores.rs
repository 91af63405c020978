//! Sessions whose connections land on different cores.
