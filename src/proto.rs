//! The types, clients and servers that are generated from `proto/`, under names that are short enough
//! to read. Nothing is written by hand here; what the wire means is said in the `.proto` files.

pub use generated::tapeline::v1;

/// The Stigmer AgentExecution contract, by its packages.
pub mod stigmer {
    pub use super::generated::ai::stigmer::agentic::agentexecution::v1 as agentexecution;
    pub use super::generated::ai::stigmer::agentic::executioncontext::v1 as executioncontext;
    pub use super::generated::ai::stigmer::commons::apiresource;
}

/// Every `.proto` file and what it imports, encoded, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The same files, to be looked at.
pub fn descriptors() -> prost_reflect::DescriptorPool {
    prost_reflect::DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the build wrote these descriptors")
}

/// The packages, nested as the generated code expects when one names a type of another.
mod generated {
    #![allow(
        missing_docs,
        nonstandard_style,
        unreachable_pub,
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "generated code answers to its generators, not to this project's lints"
    )]

    pub mod tapeline {
        pub mod v1 {
            tonic::include_proto!("tapeline.v1");
            // The server whose requests are weighed and whose watching methods answer with pre-encoded
            // frames.
            tonic::include_proto!("tapeline.v1.ExecutionLogService");
        }
    }

    pub mod ai {
        pub mod stigmer {
            pub mod agentic {
                pub mod agentexecution {
                    pub mod v1 {
                        tonic::include_proto!("ai.stigmer.agentic.agentexecution.v1");
                        // The servers whose requests are weighed; the subscribing method of the second
                        // answers with pre-encoded frames.
                        tonic::include_proto!(
                            "ai.stigmer.agentic.agentexecution.v1.AgentExecutionCommandController"
                        );
                        tonic::include_proto!(
                            "ai.stigmer.agentic.agentexecution.v1.AgentExecutionQueryController"
                        );
                    }
                }
                pub mod executioncontext {
                    pub mod v1 {
                        tonic::include_proto!("ai.stigmer.agentic.executioncontext.v1");
                    }
                }
            }
            pub mod commons {
                pub mod apiresource {
                    tonic::include_proto!("ai.stigmer.commons.apiresource");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
