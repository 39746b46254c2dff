//! For tests only (feature `test-util`): a disk whose faults a test scripts.
