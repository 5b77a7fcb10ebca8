"""Who calls, what they may do, and how what they show is checked. Knows neither gRPC nor HTTP."""
