"""Logging in on a machine."""

from __future__ import annotations

from tfgrid_compose.observe.diagnosis.failure import Failure

_SSH = ("ssh",)
_STATUS = "tfgrid-compose status {name}"

ROWS = (
    Failure(
        code="host-key-changed",
        patterns=("REMOTE HOST IDENTIFICATION HAS CHANGED", "Host key verification failed"),
        reason="another machine answers on this address than before",
        fix="when you know why, tfgrid-compose network trust {name}; else look who answers there",
        about=(
            "The machine shows another host key than the one that was remembered when it was first reached. Either it was "
            "made anew behind tfgrid-compose's back, or another machine has got its address, or somebody sits in "
            "between. The keys stand in known_hosts of the deployment's folder, not in yours. Keys that a hook "
            "makes anew are remembered by themselves; `network trust` forgets those that are known, and no data is lost."
        ),
        scope=_SSH,
    ),
    Failure(
        code="login-refused",
        patterns=("Permission denied (", "Permission denied, please try again", "Too many authentication failures"),
        reason="the machine does not accept the deployment's ssh key",
        fix="run `tfgrid-compose down {name}`, then `tfgrid-compose up`",
        about=(
            "The key is put into the machine when it is made; images with cloud-init read it at their first start only. A "
            "hook that rewrites root's ~/.ssh or the settings of sshd locks itself out as well. In the first seconds of a "
            "machine it can pass by itself."
        ),
        scope=_SSH,
    ),
    Failure(
        code="address-brackets",
        patterns=("Could not resolve hostname [",),
        reason="an IPv6 address was passed with brackets where none belong",
        fix="take the brackets out of ansible_host in the playbook or inventory",
        about=(
            "ssh and Ansible want IPv6 addresses plain; only web addresses and scp want brackets around them. "
            "tfgrid-compose writes them plain, so the brackets come from a file of the app or pattern."
        ),
        scope=("ssh", "ansible"),
    ),
    Failure(
        code="host-name-unknown",
        patterns=("Could not resolve hostname", "Name or service not known"),
        reason="the name of the machine can't be resolved",
        fix=_STATUS,
        about=(
            "tfgrid-compose uses addresses, so a name comes from the app's own playbook or from a setting. `getent hosts "
            "NAME` shows what this computer knows."
        ),
        scope=_SSH,
    ),
    Failure(
        code="key-unusable",
        patterns=("UNPROTECTED PRIVATE KEY FILE", "error in libcrypto", "Load key"),
        reason="ssh refuses to use the deployment's private key",
        fix="run `tfgrid-compose up {name}` again, which writes the key anew",
        about=(
            "ssh uses a key only when nobody else can read its file and when it is complete. tfgrid-compose writes it to "
            "memory with mode 0600; something changed it there."
        ),
        scope=_SSH,
    ),
    Failure(
        code="machine-booting",
        patterns=("System is booting up", "pam_nologin", "Unprivileged users are not permitted to log in yet"),
        reason="the machine has not finished starting",
        fix="tfgrid-compose up {name}",
        about=(
            "systemd keeps logins out until the machine is up. That takes seconds; a service that hangs while it starts "
            "makes it longer."
        ),
        transient=True,
        scope=_SSH,
    ),
    Failure(
        code="not-ssh",
        patterns=("something else than ssh answers",),
        reason="another program than sshd answers on the machine's ssh port",
        fix="run `tfgrid-compose down {name}`, then `tfgrid-compose up`",
        about=(
            "A service of the app listens on port 22, or another device has the machine's address. `nc ADDRESS 22` shows "
            "its first words; sshd begins with SSH-2.0."
        ),
        scope=_SSH,
    ),
    Failure(
        code="ssh-handshake",
        patterns=(
            "kex_exchange_identification",
            "ssh_exchange_identification",
            "banner exchange",
            "Connection closed by",
            "Connection reset by peer",
        ),
        reason="the machine cut the connection before the login",
        fix="tfgrid-compose up {name}",
        about=(
            "sshd is just starting or stopping, has too many logins at once, or a firewall between closes the connection. "
            "It usually passes within seconds."
        ),
        transient=True,
        scope=_SSH,
    ),
    Failure(
        code="ssh-broken",
        patterns=(
            "Broken pipe",
            "Connection reset",
            "client_loop",
            "mux_client",
            "Connection to … closed",
            "the connection was closed",
            "server … not responding",
        ),
        reason="the connection to the machine broke",
        fix="tfgrid-compose up {name}",
        about=(
            "The machine restarted, or the network between dropped the connection. Steps that were done stay done; the "
            "next run goes on behind them."
        ),
        transient=True,
        scope=_SSH,
    ),
    Failure(
        code="ssh-refused",
        patterns=("Connection refused",),
        reason="the machine is there, but nothing listens on its ssh port",
        fix="tfgrid-compose up {name}",
        about=(
            "A machine needs 30 to 90 seconds from its start until sshd listens. If it stays like this, sshd failed to "
            "start, or the app's firewall closes port 22; the machine's console shows which."
        ),
        transient=True,
        scope=_SSH,
    ),
    Failure(
        code="no-route-to-machine",
        patterns=("No route to host", "Network is unreachable"),
        reason="there is no way from this computer to the machine's address",
        fix=_STATUS,
        about=(
            "The tunnel is down, this computer has no IPv6 for a mycelium address, or the machine is off. `tfgrid-compose "
            "status` shows tunnel and machine, `ip route get ADDRESS` the way that would be taken."
        ),
        transient=True,
        scope=_SSH,
    ),
    Failure(
        code="wireguard-handshake",
        patterns=(
            "handshake did not complete",
            "handshake missing",
            "no handshake",
            "latest handshake: never",
        ),
        reason="the other end of the WireGuard tunnel does not answer",
        fix="check that UDP to the access point is allowed, then run `tfgrid-compose up {name}`",
        about=(
            "The interface is up, but no packet came back from the access point. A firewall drops UDP, the access point's "
            "node is off, or its configuration has not arrived there yet. `sudo wg show` lists each tunnel with its last "
            "handshake."
        ),
        transient=True,
        scope=("ssh", "wireguard"),
    ),
    Failure(
        code="machine-silent",
        patterns=("timed out", "a login does not end", "did not end within"),
        reason="the machine does not answer in time",
        fix=_STATUS,
        about=(
            "Packets to the machine are lost. It is off or hangs, the tunnel does not carry them, or a firewall drops "
            "them. A new mycelium address can take ten minutes until it is known everywhere; restarting the mycelium "
            "daemon helps."
        ),
        transient=True,
        scope=_SSH,
    ),
)
