/* The tensors of a loaded model's file, and the parameters that their rows became. */
#include "container.h"

mt_status mt_tensors_open(const mt_model *m, mt_tensors *t, mt_error *err) {
    *t = (mt_tensors){.m = m};
    mt_status status = mt_declare_again(m, !m->has_gguf, &t->frame, &t->declare, &t->own, err);
    for (size_t i = 0; i < t->declare.count && status == MT_OK; i++) {
        mt_source *s = &t->declare.sources[i];
        if (strcmp(m->container, "rwkv.cpp") == 0) s->minus_exp = false; /* as the loader has it */
        status = mt_map_set(&t->names, mt_str_of(s->name), (int32_t)i, err);
    }
    if (status != MT_OK) mt_tensors_close(t);
    return status;
}

void mt_tensors_close(mt_tensors *t) {
    mt_free(t->frame.params);
    mt_arena_free(&t->frame.arena);
    mt_free(t->declare.sources);
    mt_free(t->own);
    mt_map_free(&t->names);
    *t = (mt_tensors){0};
}

int32_t mt_tensors_source(const mt_tensors *t, const mt_file_tensor *file) {
    int32_t i;
    if (!mt_find_source(&t->names, t->m->arch, t->declare.hub, mt_str_of(file->name), &i)) return -1;
    bool constant = t->frame.params[t->declare.sources[i].parts[0].param].role == MT_ROLE_ROPE_FREQS;
    return constant ? -1 : i;
}

mt_status mt_tensors_match(const mt_tensors *t, const char *const *globs, int32_t count, bool *found, mt_error *err) {
    const mt_model *m = t->m;
    memset(found, 0, m->file_count * sizeof *found);
    for (int32_t g = 0; g < count; g++) {
        bool any = false;
        for (size_t i = 0; i < m->file_count; i++)
            if (mt_glob(globs[g], m->files[i].name) && mt_tensors_source(t, &m->files[i]) >= 0) any = found[i] = true;
        if (!any)
            return mt_fail(err, MT_EUNKNOWN,
                           "no parameter of \"%s\" is called \"%s\" (known: the tensors of its file, such as %s)",
                           m->arch->name, globs[g], m->file_count ? m->files[0].name : "none");
    }
    return MT_OK;
}
