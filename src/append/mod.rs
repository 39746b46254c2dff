//! The write path: validates what a caller wants to append and hands it to the store. The only way to write.
