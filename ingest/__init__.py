"""Carry events from MQTT to Kafka, and receipts back."""
