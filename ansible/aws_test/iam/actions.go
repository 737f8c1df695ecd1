package iam

var actions = map[string]action{
	"GetRole":                       {required: []string{"RoleName"}, run: (*Server).getRole},
	"CreateRole":                    {required: []string{"RoleName", "AssumeRolePolicyDocument"}, optional: []string{"Path", "Description", "PermissionsBoundary", "Tags", "Tags.Key", "Tags.Value"}, run: (*Server).createRole},
	"UpdateRole":                    {required: []string{"RoleName", "Description"}, run: (*Server).updateRole},
	"DeleteRole":                    {required: []string{"RoleName"}, run: (*Server).deleteRole},
	"UpdateAssumeRolePolicy":        {required: []string{"RoleName", "PolicyDocument"}, run: (*Server).updateAssumeRolePolicy},
	"ListRoleTags":                  {required: []string{"RoleName"}, run: (*Server).listRoleTags},
	"TagRole":                       {required: []string{"RoleName"}, optional: []string{"Tags.Key", "Tags.Value"}, run: (*Server).tagRole},
	"UntagRole":                     {required: []string{"RoleName", "TagKeys"}, run: (*Server).untagRole},
	"PutRolePermissionsBoundary":    {required: []string{"RoleName", "PermissionsBoundary"}, run: (*Server).putRolePermissionsBoundary},
	"DeleteRolePermissionsBoundary": {required: []string{"RoleName"}, run: (*Server).deleteRolePermissionsBoundary},
	"ListAttachedRolePolicies":      {required: []string{"RoleName"}, run: (*Server).listAttachedRolePolicies},
	"AttachRolePolicy":              {required: []string{"RoleName", "PolicyArn"}, run: (*Server).attachRolePolicy},
	"DetachRolePolicy":              {required: []string{"RoleName", "PolicyArn"}, run: (*Server).detachRolePolicy},
	"ListRolePolicies":              {required: []string{"RoleName"}, run: (*Server).listRolePolicies},
	"GetRolePolicy":                 {required: []string{"RoleName", "PolicyName"}, run: (*Server).getRolePolicy},
	"PutRolePolicy":                 {required: []string{"RoleName", "PolicyName", "PolicyDocument"}, run: (*Server).putRolePolicy},
	"DeleteRolePolicy":              {required: []string{"RoleName", "PolicyName"}, run: (*Server).deleteRolePolicy},
	"ListInstanceProfilesForRole":   {required: []string{"RoleName"}, run: (*Server).listInstanceProfilesForRole},
	"CreateInstanceProfile":         {required: []string{"InstanceProfileName"}, optional: []string{"Path"}, run: (*Server).createInstanceProfile},
	"DeleteInstanceProfile":         {required: []string{"InstanceProfileName"}, run: (*Server).deleteInstanceProfile},
	"AddRoleToInstanceProfile":      {required: []string{"InstanceProfileName", "RoleName"}, run: (*Server).addRoleToInstanceProfile},
	"RemoveRoleFromInstanceProfile": {required: []string{"InstanceProfileName", "RoleName"}, run: (*Server).removeRoleFromInstanceProfile},
}

// Actions are those that the stand-in knows.
func Actions() []string { return sortedKeys(actions) }
