"""The protobuf face: the only place that knows gRPC. A servicer's method is request → use case → response."""
