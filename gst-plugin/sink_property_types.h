// GTypes of the element's enum and flag properties; the values are those of the C++ enums.
// Any thread.
#pragma once

#include <glib-object.h>

namespace transcribe {

GType auth_scheme_type();
GType task_type();
GType response_format_type();
GType timestamp_granularities_type();
GType chunking_strategy_type();
GType context_type();
GType split_mode_type();
GType on_error_type();
GType leaky_type();
GType location_format_type();
GType redis_policy_type();
GType resume_type();

}  // namespace transcribe
