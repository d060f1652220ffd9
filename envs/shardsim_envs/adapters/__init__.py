"""The worlds under the interfaces of Gymnasium (single and vector) and gymnax."""
