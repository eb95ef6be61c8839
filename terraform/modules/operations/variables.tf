variable "prefix" {
  description = "First part of each name. Alarms whose names begin with it may report to the topic."
  type        = string
}

variable "account" {
  description = "AWS account, partition and region of what is watched."
  type        = object({ id = string, partition = string, region = string })
}

variable "project" {
  description = "Value of the tag Project, by which costs are summed up."
  type        = string
}

variable "key_arn" {
  description = "Key that encrypts the topic. Its policy lets CloudWatch and Budgets use it."
  type        = string
}

variable "alert_email" {
  description = "Address that alerts go to. Null: nobody is told."
  type        = string
}

variable "endpoint_name" {
  description = "The endpoint to watch. It need not exist yet."
  type        = string
}

variable "variant_name" {
  description = "The endpoint's one production variant."
  type        = string
}

variable "function_name" {
  description = "The function to watch."
  type        = string
}

variable "function_alias" {
  description = "Alias through which the function is called."
  type        = string
}

variable "alarm_names" {
  description = "Alarms of the other modules, for the dashboard."
  type        = list(string)
}

variable "monthly_budget_usd" {
  description = "What a month may cost. Null: no budget."
  type        = number
}

variable "unused_access_days" {
  description = "Days after which access counts as unused. Null: nothing looks for it."
  type        = number
}
