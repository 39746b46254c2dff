//! Admission: decides, purely, whether an append may be written. The order of its checks is a promise.
