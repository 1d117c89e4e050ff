"""JSON Schemas: whether a value is as one says, found out in bounded time whatever either of them holds."""
