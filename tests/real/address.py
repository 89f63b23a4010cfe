"""Where a LUN is found: one value, spelled as each initiator wants it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Address", "Chap", "host_and_port"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chap:
    """A CHAP account. Microsoft's initiator, and so everybody, wants 12 to 16 characters of password."""

    user: str = "tester"
    password: str = "not-a-secret"


def host_and_port(host: str, port: int) -> str:
    """Spell a portal as RFC 3986 wants it: an IPv6 address is bracketed."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A LUN behind a portal, with the account to log in with if there is one."""

    host: str
    port: int
    iqn: str
    lun: int = 1
    chap: Chap | None = None

    @property
    def portal(self) -> str:
        """The portal, `host:port`."""
        return host_and_port(self.host, self.port)

    @property
    def _authority(self) -> str:
        return f"{self.chap.user}%{self.chap.password}@{self.portal}" if self.chap else self.portal

    @property
    def discovery_url(self) -> str:
        """What `iscsi-ls` takes."""
        return f"iscsi://{self._authority}"

    @property
    def url(self) -> str:
        """What libiscsi's other tools and QEMU take."""
        return f"{self.discovery_url}/{self.iqn}/{self.lun}"

    def image_opts(self, *, header_digest: str | None = None) -> tuple[str, ...]:
        """Return the arguments that open the LUN in a QEMU tool, in the form that can ask for header digests.

        `header_digest` is QEMU's own: `crc32c`, `none`, `crc32c-none` or `none-crc32c`.
        """
        options = {
            "driver": "iscsi",
            "transport": "tcp",
            "portal": self.portal,
            "target": self.iqn,
            "lun": str(self.lun),
        }
        secret: tuple[str, ...] = ()
        if self.chap:
            secret = ("--object", f"secret,id=chap,data={self.chap.password}")
            options |= {"user": self.chap.user, "password-secret": "chap"}
        if header_digest:
            options["header-digest"] = header_digest
        return (*secret, "--image-opts", ",".join(f"{name}={value}" for name, value in options.items()))
