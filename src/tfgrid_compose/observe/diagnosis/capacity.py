"""Room on nodes, public addresses, nodes of others."""

from __future__ import annotations

from tfgrid_compose.observe.diagnosis.failure import Failure

_GRID = ("grid",)
_SMALLER = "ask for less with --cpu, --memory and --disk, or choose another node with `tfgrid-compose up {name} --node ID`"

ROWS = (
    Failure(
        code="no-node-fits",
        patterns=(
            "couldn't find a node satisfying the given requirements",
            "could not find enough nodes with specified options",
        ),
        reason="no node of the network has what the app asks for",
        fix="ask for less with --cpu, --memory and --disk, or for no public IPv4, then run `tfgrid-compose up {name}`",
        about=(
            "All nodes were looked through for cores, memory, disk, farm and public addresses at once. A public IPv4 and "
            "a certain farm are what rules out most nodes. The dashboard of the network lists what there is."
        ),
        scope=_GRID,
    ),
    Failure(
        code="node-full",
        patterns=("does not have enough resources", "NotEnoughResourcesOnNode"),
        reason="the node has less free memory or disk than the app asks for",
        fix=_SMALLER,
        about=(
            "The sum of memory and disk of all machines and disks on the node must be free there. The message has the "
            "figures in bytes: mru is memory, sru is SSD, hru is HDD. On the local grid `tfgrid-compose down` of another "
            "app frees room."
        ),
        scope=_GRID,
    ),
    Failure(
        code="disk-shrinks",
        patterns=("can't shrink from … MB to",),
        reason="a disk that exists can't become smaller",
        fix="ask for at least as much disk as before, then run `tfgrid-compose up {name}`",
        about=(
            "A file system on the disk would lose what lies behind its new end, so the grid only makes disks larger. "
            "To get a smaller one, save the data, then run `tfgrid-compose down` and `tfgrid-compose up`."
        ),
        scope=_GRID,
    ),
    Failure(
        code="node-memory",
        patterns=("cannot fulfil required memory size", "failed to satisfy required capacity"),
        reason="the node has less free memory than the directory says",
        fix=_SMALLER,
        about=(
            "The node itself decides at the last moment, and it keeps memory back for its own work. The directory's "
            "figures are some minutes old. A smaller machine or another node helps."
        ),
        scope=_GRID,
    ),
    Failure(
        code="node-disk-full",
        patterns=("no space left on device", "Not enough space left in pools of this type"),
        reason="no single disk of the node has that much room",
        fix=_SMALLER,
        about=(
            "A machine's disk must fit onto one SSD of the node; the directory only knows the sum over all of them. Leave "
            "20 to 25 GB of head-room, or choose another node. On the local grid the node is this computer: `df -h "
            "/var/lib` shows its room."
        ),
        scope=_GRID,
    ),
    Failure(
        code="public-ip-added",
        patterns=("it's not possible to increase the number of reserved public ips",),
        reason="a running machine can't get a public IPv4 later",
        fix="run `tfgrid-compose down {name}`, then `tfgrid-compose up` with the public IPv4",
        about=(
            "The addresses are part of the contract, and the grid does not allow more of them in an update. The machine "
            "has to be made anew; what is on its disks is lost, so save it first."
        ),
        scope=_GRID,
    ),
    Failure(
        code="no-public-ip",
        patterns=(
            "does not have enough public ips",
            "FarmHasNotEnoughPublicIPs",
            "FailedToReserveIP",
            "public ipv4 is requested, but not supported on this node",
        ),
        reason="the node's farm has no free public IPv4",
        fix="choose a node of another farm with --node, or leave ipv4 out of network.provision",
        about=(
            "Public IPv4 addresses belong to farms, and each is used by one machine at a time. Many farms have none. "
            "WireGuard and mycelium reach a machine without one."
        ),
        scope=_GRID,
    ),
    Failure(
        code="no-public-ipv6",
        patterns=("no public ipv6 found",),
        reason="the node has no public IPv6 to give to machines",
        fix="choose another node with --node, or leave ipv6 out of network.provision",
        about=(
            "A machine gets a public IPv6 from the prefix of its node, and this node has none, whatever public address it "
            "has itself. `tfgrid-compose nodes --ipv6` lists those that do."
        ),
        scope=_GRID,
    ),
    Failure(
        code="no-access-point",
        patterns=("failed to get public node", "no nodes with public ipv4"),
        reason="no node with a public IPv4 is free to be the WireGuard access point",
        fix="run `tfgrid-compose up {name}` again later, or leave wireguard out of network.provision",
        about=(
            "A private network is entered through a node that has a public IPv4 address. When the chosen node has none, "
            "the provider looks for one that is up, healthy and open to you. Mycelium works without such a node."
        ),
        transient=True,
        scope=_GRID,
    ),
    Failure(
        code="node-reserved",
        patterns=("NodeNotAvailableToDeploy",),
        reason="the node is dedicated, rented by somebody else, or in standby",
        fix="tfgrid-compose up {name} --node ID",
        about=(
            "A dedicated node takes only whoever has rented it as a whole. A farm can also send nodes to sleep. Choose "
            "another node, or rent this one on the dashboard."
        ),
        scope=_GRID,
    ),
    Failure(
        code="rent-conflict",
        patterns=("NodeHasRentContract", "NodeHasActiveContracts"),
        reason="the node is rented already, or contracts still run on it",
        fix="cancel what runs on that node on the dashboard first",
        about="A node can be rented once, and a rent contract can only be cancelled when nothing runs on the node any more.",
        scope=_GRID,
    ),
    Failure(
        code="gpu-not-rented",
        patterns=("usage of GPU is not allowed unless node is rented",),
        reason="a GPU can only be used on a node that you have rented as a whole",
        fix="rent the node on the dashboard, or leave the GPU out",
        about=(
            "GPUs are not shared. The node has to be dedicated and rented by your account before a machine may ask for "
            "its GPU. The local grid has none."
        ),
        scope=_GRID,
    ),
)
