"""Runs LocalStack's server, with what it has no setting for; `up` starts this."""

import tempfile

import localstack.services.s3.provider as s3
from localstack.runtime.main import main

# S3's objects otherwise lie in one folder of /tmp for all servers of a machine, and stay there.
s3.DEFAULT_S3_TMP_DIR = tempfile.mkdtemp(prefix="s3-")

main()
