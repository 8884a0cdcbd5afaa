"""Contracts, gateway names and domains."""

from __future__ import annotations

from tfgrid_compose.observe.diagnosis.failure import Failure

_GRID = ("grid",)
_AGAIN = "tfgrid-compose up {name}"

ROWS = (
    Failure(
        code="contract-duplicate",
        patterns=("ContractIsNotUnique",),
        reason="the same deployment already has a contract on that node",
        fix="find the older contract with `tfgrid-compose contracts list`, cancel it, then run `tfgrid-compose up {name}`",
        about=(
            "The chain refuses a second contract with the same content on the same node. That happens when a deployment "
            "was made and then forgotten, for example with a lost state. Names of this program carry the deployment's id, "
            "so the contract can be recognised in the list; `tfgrid-compose contracts cancel` takes its number."
        ),
        scope=_GRID,
    ),
    Failure(
        code="name-contract-missing",
        patterns=(
            "a name contract with the given name must be reserved first",
            "twin id mismatch",
            "the name contract must be in Created or GracePeriod state",
        ),
        reason="the gateway's name is not reserved for this account any more",
        fix="run `tfgrid-compose down {name}`, then `tfgrid-compose up` reserves it anew",
        about=(
            "A gateway on a node needs a name contract of the same account that is alive. It was cancelled, ran out of "
            "funds, or belongs to another account."
        ),
        scope=_GRID,
    ),
    Failure(
        code="contract-paused",
        patterns=("CannotUpdateContractInGraceState", "GracePeriod", "workload … state within deployment … is paused"),
        reason="the account ran out of TFT, and the contract is paused",
        fix="send TFT to the account; the next hourly bill resumes the machine",
        about=(
            "A contract that can't be billed goes into a grace period of 14 days. Machines stand still meanwhile, and "
            "nothing can be changed. After the grace period the contract is deleted, and the disks with it."
        ),
        scope=_GRID,
    ),
    Failure(
        code="contract-orphan",
        patterns=("you must cancel it manually",),
        reason="a contract could not be cancelled and still costs TFT",
        fix="`tfgrid-compose contracts cancel ID` cancels it; the message names its id",
        about=(
            "The run wanted to take back what it had made, and the chain or the account did not let it. As long as the "
            "contract lives, it is billed every hour. `tfgrid-compose contracts list` has it."
        ),
        scope=_GRID,
    ),
    Failure(
        code="contract-gone",
        patterns=("ContractNotExists", "failed to delete deployment"),
        reason="the contract does not exist any more",
        fix="tfgrid-compose down {name}",
        about=(
            "Somebody cancelled it, or it was deleted after 14 days without funds. What it held is gone. `down` forgets "
            "the deployment, and the next `up` makes a new one."
        ),
        scope=_GRID,
    ),
    Failure(
        code="workload-deleted",
        patterns=("workload … state within deployment … is deleted",),
        reason="the contract was cancelled or ran out of funds while it was being used",
        fix=_AGAIN,
        about=(
            "The node has removed the machine, because its contract is not alive any more. The next run makes it anew. "
            "What was on its disks is lost."
        ),
        scope=_GRID,
    ),
    Failure(
        code="contract-of-another",
        patterns=("TwinNotAuthorizedTo",),
        reason="the contract belongs to another account",
        fix="use the mnemonic of the account that made the deployment",
        about=(
            "Only the account that made a contract can change or cancel it. Check which mnemonic is set: the environment "
            "variables TF_VAR_mnemonic and MNEMONIC come before the file in ~/.config/threefold."
        ),
        scope=_GRID,
    ),
    Failure(
        code="contract-hash",
        patterns=("contract hash does not match deployment hash", "invalid node address in contract"),
        reason="contract and deployment do not belong together",
        fix=_AGAIN,
        about=(
            "The chain keeps a hash of what a node should run, and the node got something else. That is an error of the "
            "provider or a run that was cut off between the two. Another try writes both anew."
        ),
        transient=True,
        scope=_GRID,
    ),
    Failure(
        code="gateway-name-invalid",
        patterns=("NameNotValid", "NameContractNameToo"),
        reason="the gateway's name has a character or a length that the chain does not accept",
        fix="choose a name of 3 to 64 small letters, digits, `-` and `_`",
        about=(
            "The provider lets capital letters and long names pass; the chain does not. Names of gateways are the first "
            "part of a domain."
        ),
        scope=_GRID,
    ),
    Failure(
        code="gateway-name-taken",
        patterns=("NameExists",),
        reason="the gateway's name is taken",
        fix="choose another name, or cancel your own older name contract with `tfgrid-compose contracts cancel ID`",
        about=(
            "Names of gateways are unique on the whole network, not for each gateway. It may be a name contract of your "
            "own that an earlier deployment left."
        ),
        scope=_GRID,
    ),
    Failure(
        code="domain-taken",
        patterns=("domain already registered",),
        reason="the domain is already registered on that gateway",
        fix="choose another gateway or another domain",
        about="A gateway serves each domain once. Another deployment, perhaps an older one of yours, holds it there.",
        scope=_GRID,
    ),
    Failure(
        code="dns-not-set",
        patterns=("failed to verify domain dns record", "host doesn't point to the gateway ip"),
        reason="the domain does not point to the gateway",
        fix=(
            "set the A record of the domain to the gateway's public IPv4, wait until it is known, then run "
            "`tfgrid-compose up {name}`"
        ),
        about=(
            "The node looks the domain up before it serves it. After a change of the record it takes minutes to hours "
            "until everybody sees it. `getent hosts DOMAIN` shows what this computer sees."
        ),
        scope=_GRID,
    ),
    Failure(
        code="not-a-gateway",
        patterns=(
            "cannot deploy a gateway name workload as it does not have a domain",
            "node doesn't support name proxy",
            "doesn't contain a domain in its public config",
            "does not have a public ipv4 configured",
        ),
        reason="the node is no gateway",
        fix="choose a node that has a domain and a public IPv4",
        about="Only some nodes have a public address and a domain of their own. The directory lists them under /gateways.",
        scope=_GRID,
    ),
    Failure(
        code="gateway-backend",
        patterns=(
            "with a subdomain of the gateway's managed domain",
            "points to the node's own public IP address",
            "only one backend is supported",
            "scheme expected to be http",
            "invalid ip address in backend",
        ),
        reason="the gateway's backend or domain does not have the form that nodes accept",
        fix="give one backend of the form http://IP:PORT, or IP:PORT with TLS passthrough, and a domain of your own",
        about=(
            "A gateway passes requests to exactly one address, which must not be its own. A domain below the gateway's "
            "own domain is reserved by name, not by domain."
        ),
        scope=_GRID,
    ),
    Failure(
        code="node-record-conflict",
        patterns=(
            ": exists$",
            "^exists$",
            ": conflict$",
            "^conflict$",
            "deployment does not exist",
        ),
        reason="node and chain disagree about which deployments exist",
        fix="run `tfgrid-compose down {name}`, then `tfgrid-compose up`",
        about=(
            "The node already knows a deployment under the contract's number, or knows none where one should be. That is "
            "what a run that was cut off can leave. Making it anew clears it."
        ),
        scope=_GRID,
    ),
)
