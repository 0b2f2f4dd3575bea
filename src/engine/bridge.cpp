// The bridge to llama.cpp's libcommon: chat templates, tool-call parsing, the sampler with its lazy grammar and
// thinking budget, and memory figures. A C face; no C++ exception crosses it.
//
// Conventions: a function that can fail takes `char ** error` and returns null (or -1); `*error` is then a message for
// `agent_free`. Strings returned are owned by the caller, who frees them with `agent_free`, unless the comment says
// otherwise. Nothing here is thread-safe per object; different objects may be used on different threads.

#include "chat.h"
#include "common.h"
#include "ggml-backend.h"
#include "llama-context.h" // whether flash attention was chosen: said nowhere else
#include "llama-ext.h"
#include "llama.h"
#include "log.h"
#include "sampling.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

char * copy(const std::string & text) {
    char * out = static_cast<char *>(malloc(text.size() + 1));
    if (out) memcpy(out, text.c_str(), text.size() + 1);
    return out;
}

// Runs `body`; an exception becomes `*error` and `failed`.
template <typename T, typename Body>
T guarded(char ** error, T failed, Body body) {
    try {
        return body();
    } catch (const std::exception & e) {
        *error = copy(e.what());
    } catch (...) {
        *error = copy("an unknown C++ exception");
    }
    return failed;
}

// While it lives, llama.cpp's errors are collected and its other lines dropped.
class collected_errors {
  public:
    collected_errors() {
        llama_log_get(&before, &data);
        llama_log_set([](ggml_log_level level, const char * line, void * self) {
            if (level == GGML_LOG_LEVEL_ERROR) static_cast<collected_errors *>(self)->lines += line;
        }, this);
    }
    ~collected_errors() { llama_log_set(before, data); }
    collected_errors(const collected_errors &) = delete;
    collected_errors & operator=(const collected_errors &) = delete;

    // The first error, which is the cause; what follows are its callers' echoes.
    std::string text(const char * otherwise) const {
        const std::string first = lines.substr(0, lines.find('\n'));
        return first.empty() ? otherwise : first;
    }

  private:
    ggml_log_callback before;
    void * data;
    std::string lines;
};

// What a context and its model take, by device.
common_json taken(const llama_context * ctx) {
    const llama_model * model = llama_get_model(ctx);
    const auto breakdown = llama_get_memory_breakdown(ctx);
    const auto share = [&](ggml_backend_dev_t device, bool host) {
        size_t free = 0, total = 0;
        ggml_backend_dev_memory(device, &free, &total);
        size_t weights = 0, cache = 0, compute = 0;
        for (const auto & [type, bytes] : breakdown) {
            if ((ggml_backend_buft_is_host(type) && host) || (!ggml_backend_buft_is_host(type) && ggml_backend_buft_get_device(type) == device)) {
                weights += bytes.model, cache += bytes.context, compute += bytes.compute;
            }
        }
        const auto kind = ggml_backend_dev_type(device);
        return common_json::object({
            {"name", std::string(ggml_backend_dev_name(device))},
            {"description", std::string(ggml_backend_dev_description(device))},
            {"kind", std::string(kind == GGML_BACKEND_DEVICE_TYPE_GPU ? "gpu" : kind == GGML_BACKEND_DEVICE_TYPE_IGPU ? "igpu" : kind == GGML_BACKEND_DEVICE_TYPE_CPU ? "cpu" : "accel")},
            {"free", free}, {"total", total}, {"model", weights}, {"context", cache}, {"compute", compute},
        });
    };
    auto devices = common_json::array();
    for (int i = 0; i < llama_model_n_devices(model); i++) devices.push_back(share(llama_model_get_device(model, i), false));
    return common_json::object({
        {"flash_attn", ctx->get_cparams().flash_attn},
        {"devices", devices},
        {"host", share(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU), true)},
    });
}

} // namespace

struct agent_chat {
    common_chat_templates_ptr templates;
    // Templates that print the date see the time at which they were opened: the prefix must not change at midnight.
    std::chrono::system_clock::time_point opened = std::chrono::system_clock::now();
};

struct agent_prompt {
    common_chat_params params;
    common_chat_parser_params parser;
};

struct agent_sampler {
    common_sampler_ptr sampler;
    std::set<llama_token> preserved;
};

namespace {

// Dialects whose calls have no opening mark (Llama 3: bare JSON) get no lazy grammar from llama.cpp, because nothing
// triggers it. The name of a known tool does: from there on the grammar of a required call holds.
void constrain_bare_calls(const agent_chat & chat, common_chat_templates_inputs inputs, common_chat_params & params) {
    if (inputs.tools.empty() || !params.grammar.empty()) return;
    inputs.tool_choice = COMMON_CHAT_TOOL_CHOICE_REQUIRED;
    std::string grammar = common_chat_templates_apply(chat.templates.get(), inputs).grammar;
    const std::string bare = "\ntool-call ::= \"\" space ";
    const size_t root = grammar.find("\nroot ::= ");
    if (grammar.find(bare) == std::string::npos || root == std::string::npos) return;
    grammar.replace(root, grammar.find('\n', root + 1) - root, "\nroot ::= tool-call");
    std::string names;
    for (const auto & tool : inputs.tools) names += (names.empty() ? "" : "|") + regex_escape(tool.name);
    const std::string object = "(\\{\\s*\"(?:type\"\\s*:\\s*\"function\"\\s*,\\s*\")?name\"\\s*:\\s*\"(?:" + names + ")\")";
    params.grammar = grammar;
    params.grammar_lazy = true;
    params.grammar_triggers.push_back({COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN, "(?:^|\n)\\s*" + object, LLAMA_TOKEN_NULL});
}

} // namespace

extern "C" {

void agent_free(char * text) { free(text); }

// ---- chat templates

// Opens the model's own template, or `source` where it is not null (then `model` may be null).
agent_chat * agent_chat_open(const llama_model * model, const char * source, char ** error) {
    return guarded<agent_chat *>(error, nullptr, [&]() {
        auto chat = std::make_unique<agent_chat>();
        chat->templates = common_chat_templates_init(model, source ? source : "");
        return chat.release();
    });
}

void agent_chat_close(agent_chat * chat) { delete chat; }

bool agent_chat_has_thinking_switch(const agent_chat * chat) {
    char * ignored = nullptr;
    const bool has = guarded(&ignored, false, [&]() { return common_chat_templates_support_enable_thinking(chat->templates.get()); });
    free(ignored);
    return has;
}

// Renders `request`: {"messages":[…],"tools":[…],"enable_thinking":bool,"required":bool,"open":bool} with messages and
// tools in OpenAI's form; `open` asks for the generation prompt, `required` for a call at once.
agent_prompt * agent_prompt_render(const agent_chat * chat, const char * request, char ** error) {
    return guarded<agent_prompt *>(error, nullptr, [&]() {
        auto json = common_json::parse(request);
        common_chat_templates_inputs inputs;
        inputs.messages = common_chat_msgs_parse_oaicompat(json["messages"]);
        inputs.tools = common_chat_tools_parse_oaicompat(json["tools"]);
        inputs.tool_choice = json["required"].get<bool>() ? COMMON_CHAT_TOOL_CHOICE_REQUIRED : COMMON_CHAT_TOOL_CHOICE_AUTO;
        inputs.parallel_tool_calls = json["parallel"].get<bool>();
        inputs.enable_thinking = json["enable_thinking"].get<bool>();
        inputs.add_generation_prompt = json["open"].get<bool>();
        inputs.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
        inputs.now = chat->opened;
        auto prompt = std::make_unique<agent_prompt>();
        prompt->params = common_chat_templates_apply(chat->templates.get(), inputs);
        constrain_bare_calls(*chat, inputs, prompt->params);
        prompt->parser = common_chat_parser_params(prompt->params);
        prompt->parser.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
        if (!prompt->params.parser.empty()) prompt->parser.parser.load(prompt->params.parser);
        return prompt.release();
    });
}

void agent_prompt_close(agent_prompt * prompt) { delete prompt; }

// The rendered text. Borrowed: valid until the prompt is closed.
const char * agent_prompt_text(const agent_prompt * prompt, size_t * length) {
    *length = prompt->params.prompt.size();
    return prompt->params.prompt.data();
}

// {"format":str,"stops":[str],"thinks":bool,"lazy":bool,"grammar":bytes}
char * agent_prompt_facts(const agent_prompt * prompt, char ** error) {
    return guarded<char *>(error, nullptr, [&]() {
        const auto & p = prompt->params;
        return copy(common_json::object({
            {"format", std::string(common_chat_format_name(p.format))},
            {"stops", p.additional_stops},
            {"thinks", p.supports_thinking},
            {"lazy", p.grammar_lazy},
            {"grammar", p.grammar},
        }).dump());
    });
}

// Parses what the model wrote after this prompt into an OpenAI message. `partial`: the text may still grow.
char * agent_prompt_parse(const agent_prompt * prompt, const char * text, bool partial, char ** error) {
    return guarded<char *>(error, nullptr, [&]() {
        return copy(common_chat_parse(text, partial, prompt->parser).to_json_oaicompat().dump());
    });
}

// ---- sampling

// Builds the sampler of one turn. `settings`: {"temperature":f?,"top_p":f?,"top_k":i?,"min_p":f?,"seed":u?,
// "thinking_budget":i?}. The grammar is checked after sampling and masks the vocabulary only on a miss
// (common_sampler_sample), and only from its trigger on.
agent_sampler * agent_sampler_open(const llama_model * model, const agent_prompt * prompt, const char * settings, char ** error) {
    return guarded<agent_sampler *>(error, nullptr, [&]() {
        auto json = common_json::parse(settings);
        const auto * vocab = llama_model_get_vocab(model);
        const auto & chat = prompt->params;
        auto result = std::make_unique<agent_sampler>();
        common_params_sampling params;
        params.no_perf = true;
        if (json.contains("temperature")) params.temp = json["temperature"].get<float>();
        if (json.contains("top_p")) params.top_p = json["top_p"].get<float>();
        if (json.contains("top_k")) params.top_k = json["top_k"].get<int>();
        if (json.contains("min_p")) params.min_p = json["min_p"].get<float>();
        if (json.contains("seed")) params.seed = json["seed"].get<uint32_t>();
        for (const auto & text : chat.preserved_tokens) {
            const auto ids = common_tokenize(vocab, text, false, true);
            if (ids.size() == 1) params.preserved_tokens.insert(ids[0]);
        }
        params.generation_prompt = chat.generation_prompt;
        if (!chat.grammar.empty()) {
            params.grammar = common_grammar(COMMON_GRAMMAR_TYPE_TOOL_CALLS, chat.grammar);
            params.grammar_lazy = chat.grammar_lazy;
            for (auto trigger : chat.grammar_triggers) {
                if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD) {
                    const auto ids = common_tokenize(vocab, trigger.value, false, true);
                    if (ids.size() == 1 && params.preserved_tokens.count(ids[0])) {
                        trigger.type = COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN;
                        trigger.token = ids[0];
                    }
                }
                params.grammar_triggers.push_back(std::move(trigger));
            }
        }
        if (!chat.thinking_start_tag.empty() && !chat.thinking_end_tags.empty()) {
            params.reasoning_budget_start = common_tokenize(vocab, chat.thinking_start_tag, false, true);
            for (const auto & tag : chat.thinking_end_tags) params.reasoning_budget_end.push_back(common_tokenize(vocab, tag, false, true));
            // A thought is cut in mid-sentence: a line end before the tag is what the models' own data has there.
            params.reasoning_budget_forced = common_tokenize(vocab, "\n" + chat.thinking_end_tags.front(), false, true);
            if (json.contains("thinking_budget")) params.reasoning_budget_tokens = json["thinking_budget"].get<int>();
        }
        result->preserved = params.preserved_tokens;
        result->sampler.reset(common_sampler_init(model, params));
        if (!result->sampler) throw std::runtime_error("the sampler could not be built");
        return result.release();
    });
}

void agent_sampler_close(agent_sampler * sampler) { delete sampler; }

// Draws a token from the logits at `index`; -1 on an error. Until it is accepted, another may be drawn in its place.
llama_token agent_sampler_draw(agent_sampler * sampler, llama_context * context, int index, char ** error) {
    return guarded<llama_token>(error, -1, [&]() { return common_sampler_sample(sampler->sampler.get(), context, index); });
}

// Takes a drawn token; false on an error.
bool agent_sampler_accept(agent_sampler * sampler, llama_token token, char ** error) {
    return guarded(error, false, [&]() {
        common_sampler_accept(sampler->sampler.get(), token, true);
        return true;
    });
}

// Whether a special token is part of the tool-call syntax, and so is rendered as text.
bool agent_sampler_preserves(const agent_sampler * sampler, llama_token token) { return sampler->preserved.count(token) > 0; }

// ---- memory

// What loading would take, without allocating: {"flash_attn":bool,"devices":[share…],"host":share} with share =
// {"name","kind","free","total","model","context","compute"}. Buffer types of the CPU that are not plain host memory
// (repacked weights) count for the host, which libcommon's own figures leave out. Not thread-safe: it replaces llama.cpp's
// logger for its duration.
char * agent_memory_trial(const char * path, const llama_model_params * model, const llama_context_params * context, uint32_t branches, char ** error) {
    return guarded<char *>(error, nullptr, [&]() {
        collected_errors log;
        llama_model_params params = *model;
        params.no_alloc = true;
        params.load_mode = LLAMA_LOAD_MODE_NONE;
        std::unique_ptr<llama_model, decltype(&llama_model_free)> tried(llama_model_load_from_file(path, params), llama_model_free);
        if (!tried) throw std::runtime_error(log.text("llama.cpp does not load it"));
        llama_context_params settings = *context;
        // As a load does (`Parameters::sequences`): branches only where they share the cache.
        const bool alone = llama_model_is_recurrent(tried.get()) || llama_model_is_hybrid(tried.get()) || llama_model_n_swa(tried.get()) > 0;
        settings.n_seq_max = alone ? 1 : branches;
        std::unique_ptr<llama_context, decltype(&llama_free)> ctx(llama_init_from_model(tried.get(), settings), llama_free);
        if (!ctx) throw std::runtime_error(log.text("llama.cpp makes no context"));
        return copy(taken(ctx.get()).dump());
    });
}

// The same of a context that is there. What others took since is not part of it.
char * agent_memory_taken(const llama_context * ctx, char ** error) {
    return guarded<char *>(error, nullptr, [&]() { return copy(taken(ctx).dump()); });
}

// ---- the process

// How many threads do arithmetic best here: physical cores, without the slow ones.
int agent_cpu_threads(void) { return common_cpu_get_num_math(); }

// Keeps libcommon's own logger off stderr, which may be a person's terminal.
void agent_quiet(void) { common_log_set_verbosity_thold(-1); }

} // extern "C"
