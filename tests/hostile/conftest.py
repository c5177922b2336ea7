"""The gateways of the whole-program tests."""

from tests.e2e.conftest import (
    _gateway_of_the_module as _gateway_of_the_module,
)
from tests.e2e.conftest import (
    gateway as gateway,
)
from tests.e2e.conftest import (
    make_gateway as make_gateway,
)
from tests.e2e.conftest import (
    make_shared_gateway as make_shared_gateway,
)
from tests.e2e.conftest import (
    own_gateway as own_gateway,
)
from tests.e2e.conftest import (
    pytest_runtest_makereport as pytest_runtest_makereport,
)
