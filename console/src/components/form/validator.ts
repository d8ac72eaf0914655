/** RJSF's own validator compiles schemas with `new Function`, which the content security policy forbids. The form only asks this one
 which kind of a union a value is; faults come from `check` and from the server. */
import type { RJSFSchema, ValidationData, ValidatorType } from "@rjsf/utils";
import { matches } from "./faults";

export const validator: ValidatorType = {
  validateFormData: (): ValidationData<unknown> => ({ errors: [], errorSchema: {} }),
  rawValidation: () => ({ errors: [] }),
  isValid: (schema: RJSFSchema, value: unknown, root: RJSFSchema) => matches(value, schema, root),
};
