"""As much of ml_collections as a bench's config needs, for a machine that is without it."""


class _Reference:
    def __init__(self, owner, name):
        self.owner, self.name = owner, name


class ConfigDict(dict):
    """A dict whose keys are attributes; a field may be a reference to another."""

    def __getitem__(self, name):
        value = super().__getitem__(name)
        return value.owner[value.name] if isinstance(value, _Reference) else value

    def __getattr__(self, name):
        if name not in self:
            raise AttributeError(f"no field {name!r}; there are {', '.join(self)}")
        return self[name]

    __setattr__ = dict.__setitem__

    def get_ref(self, name):
        """Return a stand-in for the field that follows it."""
        return _Reference(self, name)

    def unlock(self):
        """Do nothing, as `lock`."""
        return self

    def lock(self):
        """Do nothing: overrides of unknown fields are refused where they are read."""
        return self
