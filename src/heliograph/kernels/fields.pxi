"""Fields of structs that are read where they are, without a look for them in the class.

    cdef Fields fields = fields_of(Alert, ("id", "labels"))
    fields.check(alert)
    <object> fields.read(alert, 1)          the second of them
"""

cdef extern from *:
    """
    #include <structmember.h>
    static Py_ssize_t hl_offset_of(PyObject *descriptor) {
        if (Py_TYPE(descriptor) != &PyMemberDescr_Type) return -1;
        const PyMemberDef *member = ((PyMemberDescrObject *)descriptor)->d_member;
        return member->type == T_OBJECT_EX ? member->offset : -1;
    }
    #define HL_FIELD(of, offset) (*(PyObject **)((char *)(of) + (offset)))
    """
    Py_ssize_t hl_offset_of(object descriptor)
    PyObject *HL_FIELD(PyObject *of, Py_ssize_t offset)


cdef class Fields:
    """Where the fields of *kind* are, by their number."""

    cdef object kind
    cdef Py_ssize_t[16] offsets

    def __init__(self, kind, tuple names):
        cdef Py_ssize_t n
        self.kind = kind
        for n in range(len(names)):
            self.offsets[n] = hl_offset_of(getattr(kind, names[n]))
            if self.offsets[n] < 0:
                raise TypeError(f"{names[n]} is no field of {kind}")

    cdef inline int check(self, of) except -1:
        if type(of) is not self.kind:
            raise TypeError(f"{type(of)} is not {self.kind}")
        return 0

    cdef inline PyObject *read(self, PyObject *of, int number) noexcept:
        """The field, which *of* keeps alive."""
        return HL_FIELD(of, self.offsets[number])
