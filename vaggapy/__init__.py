"""vaggapy: run a project's processes, each in its own namespaces, and leave nothing behind.

The packages in reading order, which is also their order of layers (lower ones import nothing above):

- `record`     frozen values that cost no import time
- `errors`     what can go wrong, with exit codes
- `host`       what the machine and the caller are like
- `config`     vagga.yaml text -> typed `Project`
- `sandbox`    one process in its own namespaces
- `net`        namespaces with addresses (its place only, nothing yet)
- `build`      content-addressed roots (its place only, nothing yet)
- `supervise`  many sandboxes under one policy
- `plan`       (Project, command, arguments, Host) -> `Plan`
- `cache`      the bound Project, kept outside the project
- `cli`        `vagga [OPTIONS] COMMAND [ARGS]`
"""

__version__ = "0.1.0"
