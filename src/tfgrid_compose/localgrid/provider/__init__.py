"""The Terraform provider of the local grid: plugin protocol 5 in Python.

`messages` are the protocol's protobuf types, `values` its encoding of Terraform values, `schema`
the real provider's schema with defaults and validators, `server` the gRPC service, and `network`
and `deployment` the two resources.
"""
