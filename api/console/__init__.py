"""The duty console: server-rendered pages and small ES modules, without a build step."""
