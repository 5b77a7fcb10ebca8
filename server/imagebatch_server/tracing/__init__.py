"""Traces by OpenTelemetry; imported only where a setting asks for them, since the packages are an extra."""
