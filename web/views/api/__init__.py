"""JSON for programs, and the OpenAPI document that describes it."""
