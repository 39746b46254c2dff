//! What the store refuses on behalf of the domain: phases that go backwards, indexes beyond their list.
