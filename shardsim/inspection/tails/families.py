"""Families of distributions that `fitting` fits by maximum likelihood.

Each family is a record of its parameters with `log_density`, `cdf` and `sample`. The
records are pytrees, so fits of many parts can be stacked.

Symbols: n samples, k components.
"""

from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
from jax.scipy import special
from jaxtyping import Array, Float, Key

Sample: TypeAlias = Float[Array, " n"]
Scalar: TypeAlias = Float[Array, ""]


@runtime_checkable
class Family(Protocol):
    """The interface of a fitted family."""

    def log_density(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]: ...

    def cdf(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]: ...

    def sample(self, n: int, key: Key[Array, ""]) -> Float[Array, "{n}"]: ...


class Normal(NamedTuple):
    """log p = -z^2 / 2 - log(scale sqrt(2 pi)), z = (x - mean) / scale."""

    mean: Scalar
    scale: Scalar

    def log_density(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        z = (x - self.mean) / self.scale
        return -0.5 * z**2 - jnp.log(self.scale) - 0.5 * jnp.log(2 * jnp.pi)

    def cdf(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return special.ndtr((x - self.mean) / self.scale)

    def sample(self, n: int, key: Key[Array, ""]) -> Float[Array, "{n}"]:
        return self.mean + self.scale * jax.random.normal(key, (n,), self.mean.dtype)


class Laplace(NamedTuple):
    """log p = -|z| - log(2 scale), z = (x - median) / scale."""

    median: Scalar
    scale: Scalar

    def log_density(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        z = (x - self.median) / self.scale
        return -jnp.abs(z) - jnp.log(2 * self.scale)

    def cdf(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        z = (x - self.median) / self.scale
        tail = 0.5 * jnp.exp(-jnp.abs(z))
        return jnp.where(z < 0, tail, 1 - tail)

    def sample(self, n: int, key: Key[Array, ""]) -> Float[Array, "{n}"]:
        noise = jax.random.laplace(key, (n,), self.median.dtype)
        return self.median + self.scale * noise


class Logistic(NamedTuple):
    """log p = -z - 2 log(1 + exp(-z)) - log scale, z = (x - mean) / scale."""

    mean: Scalar
    scale: Scalar

    def log_density(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        z = jnp.abs(x - self.mean) / self.scale
        return -z - 2 * jnp.log1p(jnp.exp(-z)) - jnp.log(self.scale)

    def cdf(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return jax.nn.sigmoid((x - self.mean) / self.scale)

    def sample(self, n: int, key: Key[Array, ""]) -> Float[Array, "{n}"]:
        return self.mean + self.scale * jax.random.logistic(key, (n,), self.mean.dtype)


class Student(NamedTuple):
    """log p = c(nu) - (nu + 1) / 2 log(1 + z^2 / nu) - log scale."""

    mean: Scalar
    scale: Scalar
    degrees: Scalar

    def log_density(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        z, nu = (x - self.mean) / self.scale, self.degrees
        constant = special.gammaln((nu + 1) / 2) - special.gammaln(nu / 2)
        constant = constant - 0.5 * jnp.log(nu / 2)
        # in float32 the difference of two large numbers is only rounding
        series = -1 / (4 * nu) + 1 / (24 * nu**3)
        constant = jnp.where(nu > 30, series, constant) - jnp.log(self.scale)
        constant = constant - 0.5 * jnp.log(2 * jnp.pi)
        return constant - (nu + 1) / 2 * jnp.log1p(z**2 / nu)

    def cdf(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        z, nu = (x - self.mean) / self.scale, self.degrees
        half = jnp.full_like(x, 0.5)
        tail = 0.5 * special.betainc(nu * half, half, nu / (nu + z**2))
        return jnp.where(z < 0, tail, 1 - tail)

    def sample(self, n: int, key: Key[Array, ""]) -> Float[Array, "{n}"]:
        noise = jax.random.t(key, self.degrees, (n,), self.mean.dtype)
        return self.mean + self.scale * noise


class GeneralisedNormal(NamedTuple):
    """log p = -|z|^shape + log(shape / (2 scale Gamma(1 / shape))).

    Shape 2 is normal, 1 is Laplace, large is uniform.
    """

    mean: Scalar
    scale: Scalar
    shape: Scalar

    def log_density(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        z = jnp.abs(x - self.mean) / self.scale
        constant = jnp.log(self.shape / (2 * self.scale))
        return -(z**self.shape) + constant - special.gammaln(1 / self.shape)

    def cdf(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        z = (x - self.mean) / self.scale
        inverse = jnp.broadcast_to(1 / self.shape, x.shape)
        mass = special.gammainc(inverse, jnp.abs(z) ** self.shape)
        return 0.5 + 0.5 * jnp.sign(z) * mass

    def sample(self, n: int, key: Key[Array, ""]) -> Float[Array, "{n}"]:
        gamma_key, sign_key = jax.random.split(key)
        gamma = jax.random.gamma(gamma_key, 1 / self.shape, (n,), self.mean.dtype)
        sign = jax.random.rademacher(sign_key, (n,), self.mean.dtype)
        return self.mean + self.scale * sign * gamma ** (1 / self.shape)


class Mixture(NamedTuple):
    """p = sum_k share_k normal(x; mean_k, scale_k)."""

    share: Float[Array, " k"]
    mean: Float[Array, " k"]
    scale: Float[Array, " k"]

    def joint(self, x: Float[Array, "*n"]) -> Float[Array, "*n k"]:
        """log share_k + log normal_k for each sample and component."""

        def each(share: Array, mean: Array, scale: Array) -> Array:
            return jnp.log(share) + Normal(mean, scale).log_density(x)

        return jax.vmap(each, out_axes=-1)(self.share, self.mean, self.scale)

    def log_density(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return special.logsumexp(self.joint(x), axis=-1)

    def cdf(self, x: Float[Array, "*n"]) -> Float[Array, "*n"]:
        def each(share: Array, mean: Array, scale: Array) -> Array:
            return share * Normal(mean, scale).cdf(x)

        return jax.vmap(each)(self.share, self.mean, self.scale).sum(axis=0)

    def sample(self, n: int, key: Key[Array, ""]) -> Float[Array, "{n}"]:
        component_key, noise_key = jax.random.split(key)
        component = jax.random.categorical(
            component_key, jnp.log(self.share), shape=(n,)
        )
        noise = jax.random.normal(noise_key, (n,), self.mean.dtype)
        return self.mean[component] + self.scale[component] * noise
