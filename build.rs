//! Generates the messages, clients and servers from `proto/`, with no `protoc` on the machine.
//!
//! The servers of some services are generated apart from the rest: what they are sent is weighed before it
//! is decoded, and their watching methods answer with frames that are encoded already. A codec can only be
//! chosen method by method there.

#![allow(clippy::print_stdout, reason = "cargo reads a build script's standard output")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message;
use prost_build::{Service, ServiceGenerator};
use protox::prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor, ServiceDescriptor};
use tonic_build::manual;

/// Files that nothing else imports; the rest is found through their imports.
const ROOTS: [&str; 4] = [
    "tapeline/v1/log_service.proto",
    "tapeline/v1/admin_service.proto",
    "ai/stigmer/agentic/agentexecution/v1/command.proto",
    "ai/stigmer/agentic/agentexecution/v1/query.proto",
];

/// The services whose servers are generated method by method, and their methods whose replies are
/// pre-encoded frames.
const WEIGHED_SERVICES: [(&str, &[&str]); 3] = [
    ("tapeline.v1.ExecutionLogService", &["Watch", "WatchAll"]),
    ("ai.stigmer.agentic.agentexecution.v1.AgentExecutionCommandController", &[]),
    ("ai.stigmer.agentic.agentexecution.v1.AgentExecutionQueryController", &["subscribe"]),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(ROOTS, ["proto"])?;

    let pool = DescriptorPool::from_file_descriptor_set(files.clone())?;
    for (name, frame_methods) in WEIGHED_SERVICES {
        let service = pool.get_service_by_name(name).ok_or("a service is not in proto/")?;
        manual::Builder::new().build_client(false).compile(&[server_of(&service, frame_methods)]);
    }

    write_descriptor_set(files.clone(), &PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin"))?;

    let services = Services {
        both_sides: tonic_prost_build::configure().service_generator(),
        client_only: tonic_prost_build::configure().build_server(false).service_generator(),
    };
    prost_build::Config::new()
        // What is stored is digested, so the order of a map must not depend on a hash seed.
        .btree_map(["."])
        .bytes(["."])
        // What a request weighs is looked up by the name of its message.
        .enable_type_names()
        .service_generator(Box::new(services))
        .compile_fds(files)?;
    Ok(())
}

/// tonic's own generator for every service, except that those above get a client only.
struct Services {
    both_sides: Box<dyn ServiceGenerator>,
    client_only: Box<dyn ServiceGenerator>,
}

impl ServiceGenerator for Services {
    fn generate(&mut self, service: Service, code: &mut String) {
        let name = format!("{}.{}", service.package, service.proto_name);
        if WEIGHED_SERVICES.iter().any(|(weighed, _)| *weighed == name) {
            self.client_only.generate(service, code);
        } else {
            self.both_sides.generate(service, code);
        }
    }
}

/// The service as tonic's generator wants it, read from the descriptor so that it cannot drift from it.
fn server_of(service: &ServiceDescriptor, frame_methods: &[&str]) -> manual::Service {
    let builder = manual::Service::builder().name(service.name()).package(service.package_name());
    let method_of = |method| server_method_of(&method, frame_methods);
    service.methods().fold(builder, |builder, method| builder.method(method_of(method))).build()
}

fn server_method_of(method: &MethodDescriptor, frame_methods: &[&str]) -> manual::Method {
    let builder = manual::Method::builder()
        .name(snake_case(method.name()))
        .route_name(method.name())
        .input_type(rust_path(&method.input()));
    let mut builder = if frame_methods.contains(&method.name()) {
        builder.output_type("crate::rpc::codec::Frame").codec_path("crate::rpc::codec::FrameCodec")
    } else {
        builder.output_type(rust_path(&method.output())).codec_path("crate::rpc::codec::WeighedCodec")
    };
    for line in comment_of(method).lines() {
        builder = builder.comment(line);
    }
    if method.is_client_streaming() {
        builder = builder.client_streaming();
    }
    if method.is_server_streaming() {
        builder = builder.server_streaming();
    }
    builder.build()
}

/// Where `src/proto.rs` keeps a message.
fn rust_path(message: &MessageDescriptor) -> String {
    let module = match message.package_name() {
        "tapeline.v1" => "v1",
        "ai.stigmer.commons.apiresource" => "stigmer::apiresource",
        _ => "stigmer::agentexecution",
    };
    format!("crate::proto::{module}::{}", message.name())
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The comment above a method in its `.proto` file.
fn comment_of(method: &MethodDescriptor) -> String {
    let file = method.parent_file();
    let source = file.file_descriptor_proto().source_code_info.as_ref();
    let location = source.and_then(|info| info.location.iter().find(|at| at.path == method.path()));
    location.map(|at| at.leading_comments().to_owned()).unwrap_or_default()
}

/// What server reflection and the tests read: every file, without comments and spans.
fn write_descriptor_set(mut files: tonic_prost_build::FileDescriptorSet, path: &Path) -> std::io::Result<()> {
    for file in &mut files.file {
        file.source_code_info = None;
    }
    fs::write(path, files.encode_to_vec())
}
