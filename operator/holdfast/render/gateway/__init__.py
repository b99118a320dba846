"""The gateway of a namespace: Envoy's configuration and the objects that run it, as pure functions.

Facts about Envoy are from its documentation of v1.37 (https://www.envoyproxy.io/docs/envoy/v1.37.0/), the oldest version that
this configuration runs on: the stats access logger and ``remove_on_match`` are not in older ones.
"""
