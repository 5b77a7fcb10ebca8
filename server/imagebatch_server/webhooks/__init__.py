"""Notifications on their way to the receivers, as Standard Webhooks has them."""
