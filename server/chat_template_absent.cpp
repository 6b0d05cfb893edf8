// Stands in until engine/text has chat templates: chat is refused, completions work.
#include "engine/text/chat_template.h"

namespace dejavu {

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::compile(std::string_view /*source*/) {
  return invalid("chat templates are not available yet");
}

}  // namespace dejavu
