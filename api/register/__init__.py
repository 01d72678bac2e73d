"""The register: communities, places, boxes, devices, residents, and who changed what."""
