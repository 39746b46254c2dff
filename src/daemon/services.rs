//! What is served on the one port: both native services, both of the Stigmer contract, health, reflection.

use std::sync::Arc;

use tapeline_storage::EventStore;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::agentexecution::Controller;
use crate::append::Appender;
use crate::limits::REQUEST_BYTES_MAX;
use crate::proto::FILE_DESCRIPTOR_SET;
use crate::proto::stigmer::agentexecution::agent_execution_command_controller_server::AgentExecutionCommandControllerServer;
use crate::proto::stigmer::agentexecution::agent_execution_query_controller_server::AgentExecutionQueryControllerServer;
use crate::proto::v1::admin_service_server::AdminServiceServer;
use crate::proto::v1::execution_log_service_server::ExecutionLogServiceServer;
use crate::rpc::admin_service::Admin;
use crate::rpc::handed::KeepsHanded;
use crate::rpc::log_service::LogService;
use crate::watch::Watches;

/// Says whether the daemon serves, for the whole of it and for each service.
pub(super) struct Health(HealthReporter);

const SERVICES: [&str; 5] = [
    "",
    <ExecutionLogServiceServer<LogService> as NamedService>::NAME,
    <AdminServiceServer<Admin> as NamedService>::NAME,
    <AgentExecutionCommandControllerServer<Controller> as NamedService>::NAME,
    <AgentExecutionQueryControllerServer<Controller> as NamedService>::NAME,
];

impl Health {
    pub(super) async fn serving(&self) {
        self.set(ServingStatus::Serving).await;
    }

    pub(super) async fn not_serving(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    async fn set(&self, status: ServingStatus) {
        for service in SERVICES {
            self.0.set_service_status(service, status).await;
        }
    }
}

/// All services, and the means to say how they are.
pub(super) fn services(
    store: &Arc<dyn EventStore>,
    appender: &Appender,
    watches: &Watches,
    controller: &Controller,
) -> (Routes, Health) {
    let log = LogService::new(store.clone(), appender.clone(), watches.clone());
    let admin = Admin::new(store.clone(), appender.clone(), watches.clone());
    let (reporter, health) = tonic_health::server::health_reporter();
    let routes = Routes::new(health)
        .add_service(
            ExecutionLogServiceServer::new(log)
                .max_decoding_message_size(REQUEST_BYTES_MAX)
                .max_encoding_message_size(REQUEST_BYTES_MAX),
        )
        .add_service(AdminServiceServer::new(admin).max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(
            AgentExecutionCommandControllerServer::new(controller.clone())
                .max_decoding_message_size(REQUEST_BYTES_MAX)
                .max_encoding_message_size(REQUEST_BYTES_MAX),
        )
        .add_service(KeepsHanded(
            AgentExecutionQueryControllerServer::new(controller.clone())
                .max_decoding_message_size(REQUEST_BYTES_MAX)
                .max_encoding_message_size(REQUEST_BYTES_MAX),
        ));
    (with_reflection(routes).prepare(), Health(reporter))
}

fn with_reflection(routes: Routes) -> Routes {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = builder().build_v1().expect("the build script wrote descriptors that belong together");
    let v1alpha = builder().build_v1alpha().expect("the same descriptors");
    routes.add_service(v1).add_service(v1alpha)
}
