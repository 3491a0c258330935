/* The list of architectures. */
#include "arch.h"

#include <stdio.h>

extern const mt_arch mt_arch_albert, mt_arch_bart, mt_arch_bert, mt_arch_biogpt, mt_arch_bitnet, mt_arch_bloom,
    mt_arch_codegen, mt_arch_cohere, mt_arch_deberta_v2, mt_arch_distilbert, mt_arch_electra, mt_arch_ernie4_5,
    mt_arch_exaone4, mt_arch_falcon, mt_arch_gemma, mt_arch_gemma2, mt_arch_gemma3, mt_arch_glm4, mt_arch_gpt2,
    mt_arch_gpt_bigcode, mt_arch_gpt_neo, mt_arch_gpt_neox, mt_arch_gpt_oss, mt_arch_gptj, mt_arch_granite,
    mt_arch_granitemoehybrid, mt_arch_gru, mt_arch_hunyuan, mt_arch_lfm2, mt_arch_llama, mt_arch_lstm, mt_arch_mamba,
    mt_arch_mamba2, mt_arch_marian, mt_arch_modernbert, mt_arch_mpnet, mt_arch_mpt, mt_arch_nemotron, mt_arch_olmo,
    mt_arch_olmo2, mt_arch_olmo3, mt_arch_olmoe, mt_arch_openai_gpt, mt_arch_opt, mt_arch_phi, mt_arch_phi3,
    mt_arch_qwen2, mt_arch_qwen3, mt_arch_qwen3_5, mt_arch_roberta, mt_arch_rwkv, mt_arch_smollm3, mt_arch_stablelm,
    mt_arch_starcoder2, mt_arch_t5, mt_arch_textgenrnn, mt_arch_umt5, mt_arch_xlnet;

static const mt_arch *const all[] = {&mt_arch_albert,     &mt_arch_bart,
                                     &mt_arch_bert,       &mt_arch_biogpt,
                                     &mt_arch_bitnet,     &mt_arch_bloom,
                                     &mt_arch_codegen,    &mt_arch_cohere,
                                     &mt_arch_deberta_v2, &mt_arch_distilbert,
                                     &mt_arch_electra,    &mt_arch_ernie4_5,
                                     &mt_arch_exaone4,    &mt_arch_falcon,
                                     &mt_arch_gemma,      &mt_arch_gemma2,
                                     &mt_arch_gemma3,     &mt_arch_glm4,
                                     &mt_arch_gpt2,       &mt_arch_gpt_bigcode,
                                     &mt_arch_gpt_neo,    &mt_arch_gpt_neox,
                                     &mt_arch_gpt_oss,    &mt_arch_gptj,
                                     &mt_arch_granite,    &mt_arch_granitemoehybrid,
                                     &mt_arch_hunyuan,    &mt_arch_gru,
                                     &mt_arch_lfm2,       &mt_arch_llama,
                                     &mt_arch_lstm,       &mt_arch_mamba,
                                     &mt_arch_mamba2,     &mt_arch_marian,
                                     &mt_arch_modernbert, &mt_arch_mpnet,
                                     &mt_arch_mpt,        &mt_arch_nemotron,
                                     &mt_arch_olmo,       &mt_arch_olmo2,
                                     &mt_arch_olmo3,      &mt_arch_olmoe,
                                     &mt_arch_openai_gpt, &mt_arch_opt,
                                     &mt_arch_phi,        &mt_arch_phi3,
                                     &mt_arch_qwen2,      &mt_arch_qwen3,
                                     &mt_arch_qwen3_5,    &mt_arch_roberta,
                                     &mt_arch_rwkv,       &mt_arch_smollm3,
                                     &mt_arch_stablelm,   &mt_arch_starcoder2,
                                     &mt_arch_t5,         &mt_arch_textgenrnn,
                                     &mt_arch_umt5,       &mt_arch_xlnet};
enum { COUNT = sizeof all / sizeof *all };

static bool among(const char *list, mt_str name) {
    char one[64];
    for (int i = 0; mt_alternative(list, i, ' ', one, sizeof one); i++)
        if (mt_str_is(name, one)) return true;
    return false;
}

const mt_arch *mt_arch_find_gguf(mt_str name) {
    for (int i = 0; i < COUNT; i++)
        if (mt_str_is(name, all[i]->name) || among(all[i]->gguf_names, name)) return all[i];
    return NULL;
}

const mt_arch *mt_arch_find_hub(mt_str model_type) {
    for (int i = 0; i < COUNT; i++)
        if (among(all[i]->model_types, model_type)) return all[i];
    return NULL;
}

void mt_arch_list(bool hub, char *out, size_t cap) {
    size_t o = 0;
    if (cap) out[0] = 0;
    for (int i = 0; i < COUNT && o + 1 < cap; i++) {
        const char *names = hub ? all[i]->model_types : all[i]->name;
        if (!*names) continue;
        int n = snprintf(out + o, cap - o, "%s%s", o ? " " : "", names);
        o += n > 0 ? (size_t)n : 0;
    }
}
