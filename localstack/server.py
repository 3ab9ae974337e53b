"""Runs LocalStack's server, with what it has no setting for; `up` starts this."""

import tempfile

from twisted.internet import endpoints

import localstack.services.s3.provider as s3
from localstack.runtime.main import main
from localstack.utils.catalog import catalog
from localstack.utils.catalog.common import CloudFormationResourcesSupportAtRuntime as Support


def status(self, resource_name, service_name, is_pro_resource=False):
    known = resource_name in self._get_cfn_resources_available_at_runtime()
    return Support.AVAILABLE if known else Support.NOT_IMPLEMENTED


def no_remote_catalog(self):
    raise OSError("what can be deployed is known here")


# S3's objects otherwise lie in one folder of /tmp for all servers of a machine, and stay there.
s3.DEFAULT_S3_TMP_DIR = tempfile.mkdtemp(prefix="s3-")

# It listens on every address of the machine, whatever GATEWAY_LISTEN says of the host.
TCP4 = endpoints.TCP4ServerEndpoint
endpoints.TCP4ServerEndpoint = lambda reactor, port, **options: TCP4(reactor, port, **(options | {"interface": "127.0.0.1"}))

# It asks its makers' server which resources of CloudFormation it can make, and makes none while that can't be reached.
catalog.RemoteCatalogLoader.get_remote_catalog = no_remote_catalog
catalog.AwsCatalogRuntimePlugin.get_cloudformation_resource_status = status

main()
