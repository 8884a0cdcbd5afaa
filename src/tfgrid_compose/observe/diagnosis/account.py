"""The account that pays, its twin, and where the provider is told to connect to."""

from __future__ import annotations

from tfgrid_compose.observe.diagnosis.failure import Failure

_GRID = ("grid",)
_PROVIDER = ("grid", "terraform")

ROWS = (
    Failure(
        code="mnemonic-invalid",
        patterns=(
            "mnemonic/seed '… is invalid",
            "mnemonic/seed is empty",
            "mnemonic/seed … is invalid",
            "error getting identity using",
        ),
        reason="the mnemonic or seed of the grid account is not valid",
        fix="tfgrid-compose signin",
        about=(
            "A mnemonic is 12 to 24 English words of a fixed list, a seed is 0x and 64 hex digits. A misspelt word, a "
            "line break in the middle or a word that is missing makes it invalid. The provider repeats the mnemonic in "
            "its message, so the message is not shown; do not copy it from elsewhere into an issue."
        ),
        scope=_GRID,
        private=True,
    ),
    Failure(
        code="twin-unasked",
        patterns=("failed to get twin for the given mnemonic/seed", "could not create rmb client … could not get twin"),
        reason="the chain did not say which twin the account has",
        fix="`tfgrid-compose signin --check` asks it too; when that works, run `tfgrid-compose up {name}`",
        about=(
            "The provider looks up the account's twin on the chain before it speaks to any node, and the chain failed at "
            "that. The relay has no part in it. The provider repeats the mnemonic in one of these messages, so the "
            "message is not shown; do not copy it from elsewhere into an issue."
        ),
        scope=_GRID,
        private=True,
    ),
    Failure(
        code="provider-argument",
        patterns=('argument "mnemonic', 'argument named "mnemonic', '"mnemonic" is required'),
        reason="pattern and grid provider name the account differently",
        fix="in the pattern's provider block write `mnemonic` for provider 1.11.2 and newer, `mnemonics` for older ones",
        about=(
            "The grid's Terraform provider renamed its argument `mnemonics` to `mnemonic` in 1.11.2. A pattern that is "
            "written for one of them fails with the other. Look at the version in `required_providers` of the pattern, "
            "and pin it."
        ),
        scope=_PROVIDER,
    ),
    Failure(
        code="key-type-mismatch",
        patterns=("found an account with ed25519 key type and the same mnemonic",),
        reason="the account was made with another key type than the one that is used now",
        fix="tfgrid-compose signin --key-type ed25519",
        about=(
            "The same words give two accounts, one for sr25519 keys and one for ed25519 keys. The provider looked for the "
            "sr25519 one, and the chain only knows the other. Accounts of the dashboard are sr25519, some old ones are "
            "ed25519."
        ),
        scope=_GRID,
    ),
    Failure(
        code="key-type-unknown",
        patterns=("key type must be one of",),
        reason="the key type of the provider block does not exist",
        fix="set key_type to sr25519 or ed25519, or leave it out",
        about=(
            "The grid knows two types of keys, sr25519 and ed25519. Without `key_type` the provider takes sr25519, which "
            "is what the dashboard makes."
        ),
        scope=_PROVIDER,
    ),
    Failure(
        code="account-not-activated",
        patterns=("account not found", "could not validate substrate account"),
        reason="the account was never activated on this network",
        fix="activate and fund the account on the dashboard of that network, or choose another one with --network",
        about=(
            "Each of main, test, qa and dev has a chain of its own, and an account exists only where it was activated. "
            "https://dashboard.grid.tf is main's; the others are dashboard.test.grid.tf, dashboard.qa.grid.tf and "
            "dashboard.dev.grid.tf. Check that the mnemonic is of the network that you deploy to."
        ),
        scope=_GRID,
    ),
    Failure(
        code="balance-low",
        patterns=("account contains … tft, min fee is",),
        reason="the account holds less than 2 TFT",
        fix="send TFT to the account, then run `tfgrid-compose up {name}`",
        about=(
            "The provider refuses to do anything, also to cancel a contract, while less than 2 TFT are free. The balance "
            "is on the dashboard of the network. TFT that are locked by running contracts don't count."
        ),
        scope=_GRID,
    ),
    Failure(
        code="fee-unpayable",
        patterns=("Inability to pay some fees", "insufficient balance"),
        reason="the account can't pay the fee of the chain",
        fix="send TFT to the account, then run `tfgrid-compose up {name}`",
        about=(
            "Every change on the chain costs a small fee, far below 1 TFT, and the free balance does not cover it. The "
            "balance is on the dashboard of the network."
        ),
        scope=_GRID,
    ),
    Failure(
        code="twin-missing",
        patterns=("no twin associated with the account", "TwinNotExists", "twin not found"),
        reason="the account has no twin on this network",
        fix="log in on the dashboard of that network once, which makes the twin",
        about=(
            "A twin is the entry under which nodes know an account. It is made when you accept the terms and conditions "
            "on the dashboard. Each network has twins of its own."
        ),
        scope=_GRID,
    ),
    Failure(
        code="terms-not-signed",
        patterns=("UserDidNotSignTermsAndConditions",),
        reason="the account has not accepted the grid's terms and conditions",
        fix="accept them on the dashboard of that network, then run `tfgrid-compose up {name}`",
        about=(
            "The chain refuses contracts of accounts that have not signed the terms and conditions. Logging in on the "
            "dashboard with the account offers them."
        ),
        scope=_GRID,
    ),
    Failure(
        code="verification-unasked",
        patterns=("only verified users can deploy … /api/v1/status",),
        reason="the service that knows which accounts are verified does not answer",
        fix="tfgrid-compose up {name}",
        about=(
            "The provider asks kyc.grid.tf (kyc.test.grid.tf and so on) before it deploys. That says nothing of the "
            "account: the service is down, or this computer does not reach it."
        ),
        transient=True,
        scope=_GRID,
    ),
    Failure(
        code="twin-not-verified",
        patterns=("user with twin id … is not verified", "only verified users can deploy"),
        reason="the account's identity is not verified, and the grid wants that of everybody",
        fix="verify the account on the dashboard of that network, then run `tfgrid-compose up {name}`",
        about=(
            "The grid asks for a verified identity (KYC) of whoever deploys, on every node. The dashboard has a page for it. "
            "Each network has accounts of its own."
        ),
        scope=_GRID,
    ),
    Failure(
        code="endpoint-invalid",
        patterns=(
            "could not validate relay url",
            "could not validate substrate url",
            "proxy url is invalid",
            "wss url … is invalid",
            "to have a url with schema of",
            "_url… to have a host, got",
            "_url… to be a valid url, got",
        ),
        reason="an address in the provider block does not have the form that the provider accepts",
        fix="write substrate_url and relay_url with wss://, proxy_url with https://, or leave them out",
        about=(
            "The provider knows the right addresses of each network by itself. An address of your own must be wss:// for "
            "chain and relay and https:// for the proxy, and its host needs a dot and a first part of small letters and "
            "digits."
        ),
        scope=_GRID,
    ),
)
