//! What every router keeps, whichever way it is used. The same checks, under the same names, stand in
//! crates/mastra-router-node/test/contract; tests/docs/contract.rs compares the two lists.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a check that cannot go on fails; Clippy exempts test functions only"
)]

mod ending;
mod health;
mod make;
mod moving;
mod registering;
mod target;

macro_rules! contract {
    (all { $($module:ident { $($check:ident)* })* } proxied { $($of:ident { $($proxied:ident)* })* }) => {
        contract!(reverse_proxy ReverseProxy: $($($module $check)*)* $($($of $proxied)*)*);
        contract!(port_mapping PortMapping: $($($module $check)*)*);
        contract!(connected Connected: $($($module $check)*)* $($($of $proxied)*)*);
    };
    ($kind:ident $make:ident: $($module:ident $check:ident)*) => {
        mod $kind {
            $(#[tokio::test]
            async fn $check() {
                crate::$module::$check(crate::make::Make::$make).await;
            })*
        }
    };
}

// `proxied` are those of routers whose routes are reached through a proxy.
contract! {
    all {
        registering {
            a_registered_route_answers_under_its_url_at_once
            a_route_is_active_where_its_target_is_healthy_and_pending_where_there_is_none
            a_deployment_without_a_route_has_none
            a_second_registration_of_a_deployment_fails_and_the_first_goes_on_serving
            names_that_are_no_dns_labels_are_refused
            the_routes_of_a_project_are_listed_in_the_order_of_registration
            all_routes_are_listed_in_the_order_of_registration
            of_concurrent_registrations_of_one_deployment_one_wins
            fifty_concurrent_registrations_are_all_there
        }
        moving {
            a_redeploy_with_all_five_fields_moves_the_traffic
            a_rollback_moves_the_traffic_back
            an_update_of_one_field_keeps_the_others
            an_update_of_a_route_that_is_not_there_fails
            a_route_that_moves_to_a_dead_port_does_not_stay_active
            a_route_is_removed_by_its_id
            a_route_is_removed_by_its_deployment
            removing_what_is_not_there_is_no_error
            clearing_removes_all_routes
            an_orchestrator_deploys_redeploys_rolls_back_and_stops
        }
        health {
            the_health_of_a_healthy_target_is_told
            the_health_of_an_unhealthy_target_is_told_with_its_status
            the_health_of_a_target_that_does_not_answer_is_told_as_timed_out
            the_health_of_a_route_that_is_not_there_is_told_as_not_found
            failures_up_to_the_threshold_make_a_route_unhealthy_and_a_success_active
            a_check_is_noted_with_its_time
            a_route_may_have_a_health_path_of_its_own
            a_registration_that_waits_for_health_is_refused_where_there_is_none
            a_registration_that_waits_for_health_ends_when_the_target_is_healthy
            an_update_that_waits_for_health_is_refused_where_there_is_none
        }
        ending {
            a_port_is_allocated_once_and_released_once
            changes_of_routes_are_told_as_events
            health_checks_are_told_as_events
            calls_after_closing_fail
            closing_twice_does_nothing_more
        }
    }
    proxied {
        registering {
            a_name_that_is_taken_is_refused_and_its_route_goes_on_serving
            a_path_prefix_is_taken_off_unless_it_is_to_stay
        }
        moving {
            a_request_in_flight_finishes_on_the_old_target
            a_removed_route_does_not_answer_any_more
        }
        ending {
            requests_are_told_as_events
        }
    }
}
